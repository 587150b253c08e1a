// Axes that both charts share: 24-hour local time with the date where a day begins, and short numbers.
import type uPlot from 'uplot';

const minute = 60, hour = 3600, day = 86400, year = 365 * day;

// Rows of uPlot: from which spacing on, the text, then what is added where the year, the month, the day, ... changes.
const times: uPlot.Axis.Values = [
  [year, '{YYYY}', null, null, null, null, null, null, 1],
  [day, '{MMM} {DD}', '\n{YYYY}', null, null, null, null, null, 1],
  [minute, '{HH}:{mm}', '\n{MMM} {DD}', null, '\n{MMM} {DD}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{MMM} {DD}', null, '\n{MMM} {DD}', null, null, null, 1],
  [0.001, '{ss}.{fff}', '\n{HH}:{mm}', null, '\n{HH}:{mm}', null, '\n{HH}:{mm}', null, 1],
];

const css = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name);

export function axes(numberWidth: number, wholeOnly: boolean): uPlot.Axis[] {
  const look = { stroke: css('--muted'), grid: { stroke: css('--line'), width: 1 }, ticks: { show: false } };
  const format = Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 4 });
  return [
    { ...look, size: 40, values: times, space: 60, incrs: [0.001, 0.01, 0.1, 1, 5, 15, 30, minute, 5 * minute, 15 * minute, 30 * minute, hour, 3 * hour, 6 * hour, 12 * hour, day, 7 * day, 30 * day, year] },
    { ...look, size: numberWidth, values: (_u, vs) => vs.map((v) => (wholeOnly && !Number.isInteger(v) ? '' : format.format(v))) },
  ];
}
