// The panels beside the lines: labels, fields, patterns, statistics and history.
import { useEffect, useState } from 'preact/hooks';
import { detectedFields, json, labelNames, labelValues, ns, patterns, type Field, type PatternRow } from '../api';
import { isMetric, logPart, selectorOf } from '../logql';
import { forgetHistory, loadHistory } from '../store';
import { ago, bytes, count, seconds } from '../time';

export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[]): { data?: T; error?: string; loading: boolean } {
  const [state, set] = useState<{ data?: T; error?: string; loading: boolean }>({ loading: true });
  useEffect(() => {
    const stop = new AbortController();
    set((s) => ({ data: s.data, loading: true }));
    load(stop.signal).then((data) => set({ data, loading: false }), (e) => { if (!stop.signal.aborted) set({ error: String(e.message ?? e), loading: false }); });
    return () => stop.abort();
  }, deps);
  return state;
}

export function Note({ state, empty }: { state: { error?: string; loading: boolean }; empty?: string }) {
  if (state.error) return <p class="bad">{state.error}</p>;
  if (state.loading) return <p class="hint">Loading…</p>;
  return empty ? <p class="hint">{empty}</p> : null;
}

interface Window { start: number; end: number }
interface LabelProps extends Window { query: string; pick: (name: string, op: '=' | '!=', value: string) => void }

// LabelBrowser lists label names; a click shows the values of one, another the lines with that value.
export function LabelBrowser({ query, start, end, pick }: LabelProps) {
  const [name, setName] = useState('');
  const [find, setFind] = useState('');
  const selector = selectorOf(query) ?? '';
  const narrow = selector.replace(/\s/g, '') === '{}' ? '' : selector;
  const names = useLoad((s) => labelNames(start, end, '', s), [start, end]);
  const values = useLoad((s) => (name ? labelValues(name, start, end, narrow, s) : Promise.resolve([])), [name, narrow, start, end]);
  const fits = (v: string) => v.toLowerCase().includes(find.toLowerCase());
  return (
    <div class="browser">
      <input type="search" placeholder="Search" aria-label="Search labels" value={find} onInput={(e) => setFind(e.currentTarget.value)} />
      {!names.data?.length && <Note state={names} empty="No labels in this time range." />}
      <ul>
        {names.data?.filter((n) => n === name || fits(n)).map((n) => (
          <li key={n}>
            <button class={n === name ? 'on' : ''} aria-expanded={n === name} onClick={() => { setName(n === name ? '' : n); setFind(''); }}>{n}</button>
            {n === name && (
              <ul class="values">
                {!values.data?.length && <Note state={values} empty="No values." />}
                {values.data?.filter(fits).slice(0, 500).map((v) => (
                  <li key={v}>
                    <button title={`Only ${n}="${v}"`} onClick={() => pick(n, '=', v)}>{v}</button>
                    <button class="not" title={`Without ${n}="${v}"`} aria-label={`Without ${n}="${v}"`} onClick={() => pick(n, '!=', v)}>−</button>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

export function FieldsPanel({ query, start, end, column, chart }: Window & { query: string; column: (name: string) => void; chart: (query: string) => void }) {
  const log = logPart(query) ?? '';
  const state = useLoad((s) => (log ? detectedFields(log, start, end, s) : Promise.resolve([] as Field[])), [log, start, end]);
  const fields = [...(state.data ?? [])].sort((a, b) => (a.label < b.label ? -1 : 1));
  return (
    <div>
      {!fields.length && <Note state={state} empty="No fields were found in the newest lines." />}
      <table><tbody>
        {fields.map((f) => (
          <tr key={f.label}>
            <td class="acts"><button title="Show as a column" onClick={() => column(f.label)}>▥</button>
              <button title="Count by value" onClick={() => chart(`topk(10, sum by (${f.label}) (count_over_time(${log}${f.parsers?.length && !log.includes('| ' + f.parsers[0]) ? ' | ' + f.parsers[0] : ''} | ${f.label}!="" [$__step])))`)}>∿</button></td>
            <th>{f.label}</th><td>{f.type}</td><td class="num">{f.cardinality}</td><td class="hint">{f.parsers?.join(', ') ?? 'metadata'}</td>
          </tr>
        ))}
      </tbody></table>
    </div>
  );
}

export function PatternsPanel({ query, start, end, filter }: Window & { query: string; filter: (pattern: string, op: '|>' | '!>') => void }) {
  const selector = selectorOf(query) ?? '';
  const state = useLoad((s) => (selector ? patterns(selector, start, end, s) : Promise.resolve([] as PatternRow[])), [selector, start, end]);
  const sums = new Map<string, number>();
  for (const p of state.data ?? []) sums.set(p.pattern, (sums.get(p.pattern) ?? 0) + p.samples.reduce((n, [, c]) => n + c, 0));
  const rows = [...sums].sort((a, b) => b[1] - a[1]);
  return (
    <div>
      {!rows.length && <Note state={state} empty="No patterns: they are mined while lines come in, if pattern_ingester.enabled is true." />}
      <table><tbody>
        {rows.slice(0, 200).map(([p, n]) => (
          <tr key={p}>
            <td class="acts"><button title="Only lines like this" onClick={() => filter(p, '|>')}>+</button><button title="Only other lines" onClick={() => filter(p, '!>')}>−</button></td>
            <td class="num">{count(n)}</td><td><code>{p}</code></td>
          </tr>
        ))}
      </tbody></table>
    </div>
  );
}

// StatsPanel shows what the server says of the query, and how large the selection is by the index.
export function StatsPanel({ stats, query, start, end, took }: Window & { stats: any; query: string; took: number }) {
  const selector = selectorOf(query) ?? '';
  const size = useLoad((s) => (selector ? json<any>('/loki/api/v1/index/stats', { query: selector, start: ns(start), end: ns(end) }, s) : Promise.resolve(undefined)), [selector, start, end]);
  const s = stats?.summary ?? {};
  const rows: [string, string][] = [
    ['Kind of query', isMetric(query) ? 'metric' : 'log'],
    ['Time of the server', seconds(s.execTime ?? 0)], ['of that in the queue', seconds(s.queueTime ?? 0)], ['Time to the page', seconds(took / 1e3)],
    ['Bytes read', bytes(s.totalBytesProcessed ?? 0)], ['Lines read', count(s.totalLinesProcessed ?? 0)],
    ['Bytes a second', bytes(s.bytesProcessedPerSecond ?? 0)], ['Entries returned', count(s.totalEntriesReturned ?? 0)],
    ['Splits and shards', `${s.splits ?? 0} and ${s.shards ?? 0}`],
  ];
  if (size.data) rows.push(['Selected by the index', `${count(size.data.streams)} streams, ${count(size.data.chunks)} chunks, ${bytes(size.data.bytes)}`]);
  return (
    <div>
      <table><tbody>{rows.map(([k, v]) => <tr key={k}><th>{k}</th><td>{v}</td></tr>)}</tbody></table>
      <details><summary>All statistics</summary><pre>{JSON.stringify(stats, null, 2)}</pre></details>
    </div>
  );
}

export function HistoryPanel({ pick }: { pick: (query: string) => void }) {
  const [list, setList] = useState(loadHistory);
  if (!list.length) return <p class="hint">Queries that you run are kept here, in this browser only.</p>;
  return (
    <div>
      <ul class="history">{list.map((p) => <li key={p.query}><button onClick={() => pick(p.query)}><code>{p.query}</code></button><span class="hint">{ago(p.at)}</span></li>)}</ul>
      <button onClick={() => { forgetHistory(); setList([]); }}>Forget all</button>
    </div>
  );
}
