// Time ranges are kept as text, "now-1h" or a time, so that a shared address still means "the last hour".

export interface Range { from: string; to: string }

const units: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };

// resolve turns "now", "now-90m", milliseconds or an ISO time into milliseconds; NaN if it is none of these.
export function resolve(text: string, now = Date.now()): number {
  const t = text.trim();
  if (t === 'now') return now;
  const m = /^now\s*-\s*(\d+(?:\.\d+)?)\s*([smhdw])$/.exec(t);
  if (m) return now - Number(m[1]) * units[m[2]];
  if (/^\d{12,14}$/.test(t)) return Number(t);
  return Date.parse(t.includes('T') ? t : t.replace(' ', 'T'));
}

export const resolveRange = (r: Range) => {
  const now = Date.now();
  return { start: resolve(r.from, now), end: resolve(r.to, now) };
};

export const quick: [string, string][] = [
  ['now-5m', 'Last 5 minutes'], ['now-15m', 'Last 15 minutes'], ['now-1h', 'Last hour'], ['now-3h', 'Last 3 hours'], ['now-6h', 'Last 6 hours'],
  ['now-12h', 'Last 12 hours'], ['now-24h', 'Last 24 hours'], ['now-2d', 'Last 2 days'], ['now-7d', 'Last 7 days'], ['now-30d', 'Last 30 days'],
];

const pad = (n: number, w = 2) => String(n).padStart(w, '0');

// local formats milliseconds as local time, e.g. 2026-01-15 09:30:00.
export function local(ms: number, millis = false): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}` +
    (millis ? '.' + pad(d.getMilliseconds(), 3) : '');
}

export const localNs = (ts: string) => local(nsToMs(ts), true);
export const nsToMs = (ts: string) => Number(ts.slice(0, -6));

export function rangeText(r: Range): string {
  const q = r.to === 'now' ? quick.find(([from]) => from === r.from) : undefined;
  if (q) return q[1];
  const show = (t: string) => (t.startsWith('now') ? t : local(resolve(t)));
  return `${show(r.from)} to ${show(r.to)}`;
}

// niceStep returns a step in milliseconds that gives about so many points.
export function niceStep(spanMs: number, points: number): number {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800].map((s) => s * 1e3);
  return steps.find((s) => spanMs / s <= points) ?? steps[steps.length - 1];
}

export function ago(when: string | number, now = Date.now()): string {
  const s = Math.max(0, (now - (typeof when === 'number' ? when : Date.parse(when))) / 1e3);
  if (!Number.isFinite(s)) return '';
  if (s < 60) return `${Math.round(s)} s ago`;
  if (s < 3600) return `${Math.round(s / 60)} min ago`;
  return s < 172800 ? `${Math.round(s / 3600)} h ago` : `${Math.round(s / 86400)} days ago`;
}

export const seconds = (s: number) => (s < 1 ? `${Math.round(s * 1e3)} ms` : s < 90 ? `${Number(s.toFixed(s < 10 ? 2 : 1))} s` : `${Math.round(s / 60)} min`);

export function bytes(n: number): string {
  const u = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 1000 && i < u.length - 1) { n /= 1000; i++; }
  return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${u[i]}`;
}

export const count = (n: number) => n.toLocaleString('en');
