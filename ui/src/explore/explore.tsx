import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { queryRange, type Entry, type QueryAnswer, type Series } from '../api';
import { addFieldFilter, addMatcher, addStage, isMetric, logPart, quote } from '../logql';
import { loadSettings, remember, saveSettings, type Settings } from '../store';
import { niceStep, nsToMs, resolveRange, seconds, count, type Range } from '../time';
import { address, go, type Place } from '../url';
import { Chart, Table } from './chart';
import { Editor } from './editor';
import { Histogram } from './histogram';
import { around, LogList } from './loglist';
import type { RowActions } from './logrow';
import { FieldsPanel, HistoryPanel, LabelBrowser, PatternsPanel, StatsPanel } from './panels';
import { Tail, type TailState } from './tail';
import { TimeRange } from './timerange';

const limits = ['100', '500', '1000', '5000'];
const tabs = ['lines', 'fields', 'patterns', 'stats', 'history'] as const;

interface Shown { query: string; start: number; end: number; step: number; answer: QueryAnswer; took: number }

// Explore is the page for queries. The address holds all that decides what is shown; running a query only changes the address.
export function Explore({ place }: { place: Place }) {
  const p = place.params;
  const query = p.get('q') ?? '';
  const range: Range = { from: p.get('from') ?? 'now-1h', to: p.get('to') ?? 'now' };
  const limit = p.get('limit') ?? '500';
  const direction = p.get('dir') ?? 'backward';
  const tab = p.get('tab') ?? 'lines';
  const marked = p.get('line') ?? '';
  const rerun = p.get('run') ?? '';

  // What stands in the editor. It is no state: typing draws nothing anew but whether there is anything to run.
  const text = useRef(query);
  const [blank, setBlank] = useState(!query.trim());
  const typed = (t: string) => { text.current = t; setBlank(!t.trim()); };
  const [shown, setShown] = useState<Shown | null>(null);
  const [volume, setVolume] = useState<{ series: Series[]; start: number; end: number; step: number } | null>(null);
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const [settings, setSettings] = useState<Settings>(loadSettings);
  const [side, setSide] = useState(innerWidth > 900);
  const [live, setLive] = useState<TailState | null>(null);
  const [paused, setPaused] = useState(false);
  const [context, setContext] = useState<{ entry: Entry; entries: Entry[] } | null>(null);
  const [copied, setCopied] = useState('');
  const tail = useRef<Tail | null>(null);

  const to = (change: Record<string, string>, replace = false) => {
    const all: Record<string, string> = { q: query, from: range.from, to: range.to, limit: limit === '500' ? '' : limit, dir: direction === 'backward' ? '' : direction, tab: tab === 'lines' ? '' : tab, ...change };
    go('explore', all, replace);
  };
  // run takes over the text of the editor. The same address again means "once more, up to now".
  const run = (q = text.current) => { stopTail(); setContext(null); to({ q, run: q === query ? String(Number(rerun || 0) + 1) : '', line: '' }); };

  useEffect(() => {
    if (!query.trim()) { setShown(null); setVolume(null); setError(''); return; }
    const stop = new AbortController();
    const { start, end } = resolveRange(range);
    const metric = isMetric(query);
    const step = niceStep(end - start, metric ? 240 : 120);
    const q = query.replaceAll('$__step', `${step / 1e3}s`).replaceAll('$__auto', `${step / 1e3}s`).replaceAll('$__interval', `${step / 1e3}s`);
    const began = performance.now();
    setBusy(true);
    setError('');
    queryRange({ query: q, start, end, limit: metric ? undefined : Number(limit), direction, step: metric ? `${step / 1e3}` : undefined }, 'ui', stop.signal)
      .then((answer) => { setShown({ query: q, start, end, step, answer, took: performance.now() - began }); remember(query); setBusy(false); })
      .catch((e) => { if (stop.signal.aborted) return; setError(e.message ?? String(e)); setShown(null); setBusy(false); });
    const log = logPart(query);
    if (!metric && log) {
      queryRange({ query: `sum by (level, detected_level) (count_over_time(${log} | drop __error__ [${step / 1e3}s]))`, start, end: end + step, step: `${step / 1e3}` }, 'logvolhist', stop.signal)
        .then((a) => setVolume({ series: a.series, start, end, step })).catch(() => { if (!stop.signal.aborted) setVolume(null); });
    } else setVolume(null);
    return () => stop.abort();
  }, [query, range.from, range.to, limit, direction, rerun]);

  const stopTail = () => { tail.current?.stop(); tail.current = null; setLive(null); setPaused(false); };
  useEffect(() => stopTail, []);
  const startTail = () => {
    const log = logPart(text.current);
    if (!log) { setError('Live tail needs a log query, such as {app="api"}.'); return; }
    setContext(null);
    setError('');
    tail.current = new Tail(log, setLive);
  };
  const pause = () => { if (!tail.current) return; if (paused) tail.current.resume(); else tail.current.paused = true; setPaused(!paused); };

  const change = (s: Partial<Settings>) => setSettings((old) => { const n = { ...old, ...s }; saveSettings(n); return n; });
  const column = (name: string) => change({ columns: settings.columns.includes(name) ? settings.columns.filter((c) => c !== name) : [...settings.columns, name] });
  const zoom = (start: number, end: number) => { if (end > start) to({ from: String(start), to: String(end), line: '' }); };

  const actions: RowActions = useMemo(() => ({
    filter: (name, op, value, own) => run(own ? addMatcher(query, name, op, value) : addFieldFilter(query, name, op, value)),
    column,
    context: (entry) => { around(entry, 50).then((entries) => setContext({ entry, entries }), (e) => setError(e.message)); },
    link: (entry) => {
      const at = nsToMs(entry.ts);
      const link = location.origin + location.pathname + address('explore', { q: query, from: String(at - 300e3), to: String(at + 300e3), line: entry.ts });
      navigator.clipboard?.writeText(link).then(() => setCopied('Link copied'), () => setCopied(link));
      setTimeout(() => setCopied(''), 4000);
    },
  }), [query, settings, range.from, range.to, limit, direction, rerun]);

  const now = resolveRange(range);
  const scope = () => resolveRange(range);
  const entries = shown?.answer.entries ?? [];
  return (
    <main class={`explore${side ? '' : ' noside'}`}>
      <form class="querybar" onSubmit={(e) => { e.preventDefault(); run(); }}>
        <button type="button" class="sidebutton" aria-label="Label browser" aria-pressed={side} title="Label browser" onClick={() => setSide(!side)}>☰</button>
        <Editor value={query} turn={rerun} onChange={typed} onRun={() => run()} scope={scope} />
        <div class="controls">
          <TimeRange range={range} onChange={(r) => { stopTail(); to({ from: r.from, to: r.to, q: text.current, line: '' }); }} />
          <select aria-label="Number of lines" value={limit} onChange={(e) => to({ limit: e.currentTarget.value === '500' ? '' : e.currentTarget.value })}>
            {[...new Set([...limits, limit])].map((l) => <option key={l} value={l}>{l} lines</option>)}
          </select>
          <button type="submit" class="primary" disabled={blank}>{busy ? 'Running…' : 'Run'}</button>
          {live ? <button type="button" class="live on" onClick={stopTail}>■ Stop</button> : <button type="button" class="live" disabled={blank} onClick={startTail}>▶ Live</button>}
        </div>
      </form>
      {side && (
        <aside aria-label="Label browser">
          <LabelBrowser query={query} start={Math.floor(now.start / 60e3) * 60e3} end={Math.ceil(now.end / 60e3) * 60e3} pick={(n, op, v) => run(addMatcher(blank ? '{}' : text.current, n, op, v))} />
        </aside>
      )}
      <div class="results">
        {error && <pre class="error" role="alert">{error}</pre>}
        {shown?.answer.warnings.map((w) => <p class="warning" key={w}>{w}</p>)}
        {copied && <p class="toast" role="status">{copied}</p>}
        {live ? (
          <>
            <div class="bar">
              <strong class={`pulse ${live.status}`}>{live.status === 'live' ? (paused ? 'Paused' : 'Live') : live.status === 'ended' ? 'Ended' : 'Connecting…'}</strong>
              {live.reason && <span class="bad">{live.reason}</span>}
              <span>{count(live.entries.length)} lines</span>
              {live.dropped > 0 && <span class="bad">{count(live.dropped)} lines were too fast and are left out</span>}
              <button onClick={pause} disabled={live.status === 'ended'}>{paused ? 'Resume' : 'Pause'}</button>
            </div>
            <LogList entries={live.entries} settings={settings} change={change} actions={actions} marked="" newestFirst live />
          </>
        ) : context ? (
          <>
            <div class="bar"><strong>Lines around {context.entry.ts}</strong><span class="grow" /><button onClick={() => setContext(null)}>Back to the results</button></div>
            <LogList entries={context.entries} settings={{ ...settings, columns: [] }} change={change} actions={actions} marked={context.entry.ts} newestFirst />
          </>
        ) : shown ? (
          <>
            {volume && <Histogram {...volume} onZoom={zoom} />}
            <nav class="tabs" aria-label="Views of the result">
              {tabs.map((t) => <button key={t} class={t === tab ? 'on' : ''} aria-current={t === tab} onClick={() => to({ tab: t === 'lines' ? '' : t }, true)}>{t === 'lines' && shown.answer.kind === 'series' ? 'chart' : t}</button>)}
              <span class="hint summary">{shown.answer.kind === 'logs' ? `${count(entries.length)} ${entries.length === 1 ? 'line' : 'lines'}` : `${count(shown.answer.series.length)} series`} in {seconds(shown.took / 1e3)}</span>
            </nav>
            {tab === 'lines' && shown.answer.kind === 'logs' && (entries.length
              ? <LogList entries={entries} settings={settings} change={change} actions={actions} marked={marked} newestFirst={direction === 'backward'} flip={() => to({ dir: direction === 'backward' ? 'forward' : '' })} />
              : <Nothing />)}
            {tab === 'lines' && shown.answer.kind === 'series' && (shown.answer.series.length ? <div class="pad"><Chart series={shown.answer.series} start={shown.start} end={shown.end} onZoom={zoom} /><Table series={shown.answer.series} /></div> : <Nothing />)}
            {tab === 'fields' && <div class="pad"><FieldsPanel query={query} start={shown.start} end={shown.end} column={column} chart={(q) => to({ q, tab: '' })} /></div>}
            {tab === 'patterns' && <div class="pad"><PatternsPanel query={query} start={shown.start} end={shown.end} filter={(pattern, op) => run(addStage(query, `${op} ${quote(pattern)}`))} /></div>}
            {tab === 'stats' && <div class="pad"><StatsPanel stats={shown.answer.stats} query={query} start={shown.start} end={shown.end} took={shown.took} /></div>}
            {tab === 'history' && <div class="pad"><HistoryPanel pick={(q) => run(q)} /></div>}
          </>
        ) : !query && !error ? <Welcome run={run} /> : null}
      </div>
    </main>
  );
}

const Nothing = () => <p class="empty">Nothing in this time range. A wider range, or fewer filters, may find more.</p>;

function Welcome({ run }: { run: (q: string) => void }) {
  const examples = ['{job=~".+"}', '{service_name=~".+"} |= "error"', 'sum by (level) (count_over_time({service_name=~".+"} | logfmt [1m]))'];
  return (
    <div class="pad welcome">
      <h2>Search the logs</h2>
      <p>Pick a label at the left, or write a query. Some to start with:</p>
      <ul>{examples.map((q) => <li key={q}><button onClick={() => run(q)}><code>{q}</code></button></li>)}</ul>
      <h3>Queries before</h3>
      <HistoryPanel pick={run} />
    </div>
  );
}
