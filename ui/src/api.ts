// The HTTP API of the store, as the page uses it. Paths are Loki's, and logstore's own under /logstore/.

// base is the path prefix under which the server stands: the page itself is at <base>/ui/.
export const base = location.pathname.replace(/\/ui(\/.*)?$/, '');

export type Labels = Record<string, string>;
export interface EntryMeta { structuredMetadata?: Labels; parsed?: Labels }
export interface Entry { ts: string; line: string; labels: Labels; meta: EntryMeta; id: string }
export interface Series { metric: Labels; values: [number, string][] }
export interface Field { label: string; type: string; cardinality: number; parsers: string[] | null }
export interface PatternRow { pattern: string; level?: string; samples: [number, number][] }

// LokiError is an answer other than 2xx; its message is the server's text.
export class LokiError extends Error {
  constructor(readonly status: number, message: string) { super(message); }
}

const tenantKey = 'logstore.tenant';
export const tenant = {
  get: () => localStorage.getItem(tenantKey) ?? '',
  set: (id: string) => (id ? localStorage.setItem(tenantKey, id) : localStorage.removeItem(tenantKey)),
};

export type Params = Record<string, string | number | string[] | undefined>;

export function url(path: string, params: Params = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) {
    if (Array.isArray(v)) v.forEach((x) => q.append(k, x));
    else if (v !== undefined && v !== '') q.set(k, String(v));
  }
  const text = q.toString();
  return base + path + (text ? '?' + text : '');
}

export async function request(path: string, params: Params = {}, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (tenant.get()) headers.set('X-Scope-OrgID', tenant.get());
  const res = await fetch(url(path, params), { ...init, headers });
  if (!res.ok) {
    const text = (await res.text()).trim();
    let message = text || res.statusText;
    try { message = JSON.parse(text).message ?? message; } catch { /* plain text, as most errors are */ }
    throw new LokiError(res.status, message);
  }
  return res;
}

export async function json<T>(path: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  const res = await request(path, params, { signal, headers: { Accept: 'application/json' } });
  return res.json() as Promise<T>;
}

export interface QueryParams { query: string; start: number; end: number; limit?: number; direction?: string; step?: string }
export interface QueryAnswer { kind: 'logs' | 'series'; entries: Entry[]; series: Series[]; stats: any; warnings: string[] }

// ns turns milliseconds into the nanoseconds of the API without losing digits.
export const ns = (ms: number) => `${Math.round(ms)}000000`;

export async function queryRange(p: QueryParams, source: string, signal?: AbortSignal): Promise<QueryAnswer> {
  const res = await request('/loki/api/v1/query_range',
    { query: p.query, start: ns(p.start), end: ns(p.end), limit: p.limit, direction: p.direction, step: p.step },
    { signal, headers: { 'X-Loki-Response-Encoding-Flags': 'categorize-labels', 'X-Query-Tags': `Source=${source}` } });
  const body = await res.json();
  const { resultType, result, stats } = body.data;
  const answer: QueryAnswer = { kind: resultType === 'streams' ? 'logs' : 'series', entries: [], series: [], stats: stats ?? {}, warnings: body.warnings ?? [] };
  if (resultType === 'streams') answer.entries = flatten(result, p.direction === 'forward');
  else if (resultType === 'matrix') answer.series = result;
  else if (resultType === 'vector') answer.series = result.map((s: any) => ({ metric: s.metric, values: [s.value] }));
  return answer;
}

// byTime compares nanosecond times, which are strings of digits of equal length in this century.
const byTime = (a: Entry, b: Entry) => (a.ts.length - b.ts.length) || (a.ts < b.ts ? -1 : a.ts > b.ts ? 1 : 0);

export function flatten(streams: { stream: Labels; values: [string, string, EntryMeta?][] }[], forward: boolean): Entry[] {
  const out: Entry[] = [];
  streams.forEach((s, si) => {
    s.values.forEach(([ts, line, meta], vi) => out.push({ ts, line, labels: s.stream, meta: meta ?? {}, id: `${ts}-${si}-${vi}` }));
  });
  out.sort(byTime);
  return forward ? out : out.reverse();
}

interface Listing { data?: string[] }
export const labelNames = (start: number, end: number, query?: string, signal?: AbortSignal) =>
  json<Listing>('/loki/api/v1/labels', { start: ns(start), end: ns(end), query }, signal).then((r) => r.data ?? []);
export const labelValues = (name: string, start: number, end: number, query?: string, signal?: AbortSignal) =>
  json<Listing>(`/loki/api/v1/label/${encodeURIComponent(name)}/values`, { start: ns(start), end: ns(end), query }, signal).then((r) => r.data ?? []);
export const detectedFields = (query: string, start: number, end: number, signal?: AbortSignal) =>
  json<{ fields?: Field[] }>('/loki/api/v1/detected_fields', { query, start: ns(start), end: ns(end), line_limit: 1000 }, signal).then((r) => r.fields ?? []);
export const patterns = (query: string, start: number, end: number, signal?: AbortSignal) =>
  json<{ data?: PatternRow[] }>('/loki/api/v1/patterns', { query, start: ns(start), end: ns(end) }, signal).then((r) => r.data ?? []);
