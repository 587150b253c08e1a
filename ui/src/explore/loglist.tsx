import { useMemo, useState } from 'preact/hooks';
import { flatten, ns, request, type Entry } from '../api';
import type { Settings } from '../store';
import { LogRow, valueOf, type RowActions } from './logrow';
import { Virtual } from './virtual';

interface Props { entries: Entry[]; settings: Settings; change: (s: Partial<Settings>) => void; actions: RowActions; marked: string; newestFirst: boolean; flip?: () => void; live?: boolean }

function save(name: string, type: string, text: string) {
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob([text], { type }));
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10e3);
}

const asText = (es: Entry[]) => es.map((e) => `${new Date(Number(e.ts.slice(0, -6))).toISOString()} ${e.line}`).join('\n') + '\n';
const asJSON = (es: Entry[]) => es.map((e) => JSON.stringify({ timestamp: e.ts, line: e.line, labels: e.labels, ...e.meta })).join('\n') + '\n';
const csv = (v: string) => (/[",\n]/.test(v) ? `"${v.replaceAll('"', '""')}"` : v);
const asCSV = (es: Entry[], columns: string[]) => ['time', ...columns, 'line'].join(',') + '\n' + es.map((e) => [e.ts, ...columns.map((c) => csv(valueOf(e, c))), csv(e.line)].join(',')).join('\n') + '\n';

export function LogList({ entries, settings, change, actions, marked, newestFirst, flip, live }: Props) {
  const [open, setOpen] = useState<Set<string>>(new Set());
  const toggle = (id: string) => setOpen((s) => { const n = new Set(s); if (!n.delete(id)) n.add(id); return n; });
  const names = useMemo(() => [...new Set(entries.slice(0, 200).flatMap((e) => [...Object.keys(e.labels), ...Object.keys(e.meta.parsed ?? {}), ...Object.keys(e.meta.structuredMetadata ?? {})]))].sort(), [entries]);
  const { wrap, time, columns } = settings;
  return (
    <section class="loglist">
      <div class="bar">
        <label><input type="checkbox" checked={wrap} onChange={() => change({ wrap: !wrap })} /> Wrap</label>
        <label><input type="checkbox" checked={time} onChange={() => change({ time: !time })} /> Time</label>
        {flip && <button onClick={flip}>{newestFirst ? 'Newest first' : 'Oldest first'}</button>}
        <select aria-label="Add a column" value="" onChange={(e) => { if (e.currentTarget.value) actions.column(e.currentTarget.value); e.currentTarget.value = ''; }}>
          <option value="">+ column</option>
          {names.filter((n) => !columns.includes(n)).map((n) => <option key={n}>{n}</option>)}
        </select>
        {columns.map((c) => <button key={c} class="chip" title="Remove this column" onClick={() => actions.column(c)}>{c} ×</button>)}
        <span class="grow" />
        {!live && (
          <select aria-label="Download" value="" onChange={(e) => {
            const kind = e.currentTarget.value;
            e.currentTarget.value = '';
            if (kind === 'txt') save('logs.txt', 'text/plain', asText(entries));
            if (kind === 'jsonl') save('logs.jsonl', 'application/x-ndjson', asJSON(entries));
            if (kind === 'csv') save('logs.csv', 'text/csv', asCSV(entries, columns));
          }}>
            <option value="">Download</option><option value="txt">Text</option><option value="jsonl">JSON lines</option><option value="csv">CSV</option>
          </select>
        )}
      </div>
      <Virtual items={entries} estimate={22} idOf={(e) => e.id} label="Log lines" reveal={marked ? (e) => e.ts === marked : undefined}
        row={(e) => <LogRow entry={e} open={open.has(e.id)} wrap={wrap} time={time} columns={columns} marked={marked !== '' && e.ts === marked} toggle={() => toggle(e.id)} actions={actions} />} />
    </section>
  );
}

const selectorText = (l: Record<string, string>) => `{${Object.entries(l).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(', ')}}`;

// contextQuery selects the stream of an entry.
export const contextQuery = (e: Entry) => selectorText(e.labels);

// around fetches the lines before and behind an entry in its stream.
export async function around(e: Entry, n: number, hours = 2): Promise<Entry[]> {
  const at = Number(e.ts.slice(0, -6));
  const ask = async (params: Record<string, string | number>) => {
    const res = await request('/loki/api/v1/query_range', { query: contextQuery(e), limit: n, ...params }, { headers: { 'X-Loki-Response-Encoding-Flags': 'categorize-labels' } });
    return (await res.json()).data.result;
  };
  const older = await ask({ start: ns(at - hours * 3600e3), end: e.ts, direction: 'backward' });
  const newer = await ask({ start: e.ts, end: ns(at + hours * 3600e3), direction: 'forward' });
  const mark = (list: Entry[], side: string) => list.map((x) => ({ ...x, id: side + x.id }));
  return [...mark(flatten(newer, false), 'n'), ...mark(flatten(older, false), 'o')];
}
