import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import type { Labels, Series } from '../api';
import { local } from '../time';
import { axes } from './axes';

export const seriesName = (m: Labels) => {
  const text = Object.entries(m).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(', ');
  return `{${text}}`;
};

export const palette = ['#3b82f6', '#f5a524', '#2f9e6e', '#e5484d', '#a855f7', '#0fb5ba', '#d9822b', '#7c8ea3', '#c2569c', '#8fae3a', '#5566d6', '#b98b5e'];

// maxLines is how many series a chart draws; the table has them all.
const maxLines = 100;

// columns puts series that have samples at different times on one axis; missing samples are gaps.
export function columns(series: Series[]): (number | null)[][] {
  const times = [...new Set(series.flatMap((s) => s.values.map(([t]) => t)))].sort((a, b) => a - b);
  const at = new Map(times.map((t, i) => [t, i]));
  return [times, ...series.map((s) => {
    const ys = new Array<number | null>(times.length).fill(null);
    for (const [t, v] of s.values) { const y = Number(v); ys[at.get(t)!] = Number.isFinite(y) ? y : null; }
    return ys;
  })];
}

// start and end, in milliseconds, are what was asked for: the axis shows all of it, also where there is nothing.
export function Chart({ series, start, end, onZoom }: { series: Series[]; start: number; end: number; onZoom: (start: number, end: number) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const [only, setOnly] = useState<number | null>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const shown = useMemo(() => series.slice(0, maxLines), [series]);
  useEffect(() => {
    const single = shown.every((s) => s.values.length < 2);
    const plot = new uPlot({
      width: host.current!.clientWidth, height: 300, legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false } },
      axes: axes(64, false),
      scales: { x: { range: [start / 1e3, end / 1e3] } },
      series: [{}, ...shown.map((s, i) => ({ label: seriesName(s.metric), stroke: palette[i % palette.length], width: 1.5, show: only === null || only === i, points: { show: single } }))],
      hooks: { setSelect: [(u) => { if (u.select.width >= 4) zoom.current(Math.round(u.posToVal(u.select.left, 'x') * 1e3), Math.round(u.posToVal(u.select.left + u.select.width, 'x') * 1e3)); }] },
    }, columns(shown) as uPlot.AlignedData, host.current!);
    const resize = new ResizeObserver(() => host.current && plot.setSize({ width: host.current.clientWidth, height: 300 }));
    resize.observe(host.current!);
    return () => { resize.disconnect(); plot.destroy(); };
  }, [shown, only, start, end]);
  return (
    <section class="chart" aria-label="Chart">
      <div ref={host} class="plot" />
      <ul class="series">
        {shown.map((s, i) => (
          <li key={i}><button class={only === i ? 'on' : ''} onClick={() => setOnly(only === i ? null : i)}><i style={{ background: palette[i % palette.length] }} />{seriesName(s.metric)}</button></li>
        ))}
      </ul>
      {series.length > maxLines && <p class="hint">The chart shows {maxLines} of {series.length} series; the table has all of them.</p>}
    </section>
  );
}

// Table lists the last sample of each series.
export function Table({ series }: { series: Series[] }) {
  const names = [...new Set(series.flatMap((s) => Object.keys(s.metric)))].sort();
  return (
    <div class="scroll">
      <table>
        <thead><tr>{names.map((n) => <th key={n}>{n}</th>)}<th>time</th><th class="num">value</th></tr></thead>
        <tbody>
          {series.slice(0, 2000).map((s, i) => {
            const [t, v] = s.values[s.values.length - 1] ?? [0, ''];
            return <tr key={i}>{names.map((n) => <td key={n}>{s.metric[n]}</td>)}<td>{local(t * 1e3)}</td><td class="num">{v}</td></tr>;
          })}
        </tbody>
      </table>
    </div>
  );
}
