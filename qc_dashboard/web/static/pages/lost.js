// What the history lacks for good: retention took it from the topic before the dashboard had read it.
import { clockTime } from "./elements.js";

export function lostIn({ lost }) {
  return lost.map(({ since, until, records }) => {
    const from = since ? `from ${clockTime(new Date(since))}` : "from the beginning";
    const to = until ? ` to ${clockTime(new Date(until))}` : "";
    const rest = `Up to ${records} inspections ${from}${to} had left their topic before they were read here. Parts were judged all the same.`;
    return { level: "warn", title: "The history has a gap.", rest };
  });
}
