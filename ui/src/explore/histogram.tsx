import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { Series } from '../api';
import { levelColor, levelOfLabels, levels, type Level } from '../level';
import { count, local } from '../time';
import { axes } from './axes';

// stack adds the series of each level up over the times of the range, in seconds; empty times are zero.
export function stack(series: Series[], startMs: number, endMs: number, stepMs: number) {
  const step = stepMs / 1e3;
  const first = Math.floor(startMs / stepMs) * step;
  const n = Math.max(1, Math.ceil((endMs / 1e3 - first) / step) + 1);
  const times = Array.from({ length: n }, (_, i) => first + i * step);
  const byLevel = new Map<Level, number[]>();
  for (const s of series) {
    const level = levelOfLabels(s.metric);
    const sums = byLevel.get(level) ?? new Array<number>(n).fill(0);
    for (const [t, v] of s.values) {
      // A sample at t counts what came in (t-step, t]; its bar stands over that span.
      const i = Math.round((t - step - first) / step);
      if (i >= 0 && i < n) sums[i] += Number(v);
    }
    byLevel.set(level, sums);
  }
  const used = levels.filter((l) => byLevel.has(l)).reverse();
  return { times, used, values: used.map((l) => byLevel.get(l)!) };
}

interface Props { series: Series[]; start: number; end: number; step: number; onZoom: (start: number, end: number) => void }

// Histogram shows the volume by level; dragging over it zooms.
export function Histogram({ series, start, end, step, onZoom }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  useEffect(() => {
    const { times, used, values } = stack(series, start, end, step);
    const sums = times.map(() => 0);
    const stacked = values.map((v) => v.map((x, i) => (sums[i] += x)));
    const bars = uPlot.paths.bars!({ size: [0.9, 40], align: 1 });
    const plot = new uPlot({
      width: host.current!.clientWidth, height: 124,
      legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: { x: { min: start / 1e3, max: end / 1e3 }, y: { range: (_u, _min, max) => [0, Math.max(1, max * 1.05)] } },
      axes: axes(52, true),
      // The highest stack is drawn first, the lower ones over it.
      series: [{}, ...used.toReversed().map((l) => ({ label: l, stroke: levelColor[l], fill: levelColor[l], width: 0, paths: bars, points: { show: false } }))],
      hooks: {
        setSelect: [(u) => {
          if (u.select.width < 4) return;
          zoom.current(Math.round(u.posToVal(u.select.left, 'x') * 1e3), Math.round(u.posToVal(u.select.left + u.select.width, 'x') * 1e3));
        }],
        setCursor: [(u) => {
          const tip = host.current?.parentElement?.querySelector('.tip');
          if (!tip) return;
          const i = u.cursor.idx;
          tip.textContent = i == null ? '' : local(times[i] * 1e3) + '  ' + used.map((l, k) => [l, values[k][i]] as const).filter(([, v]) => v > 0).map(([l, v]) => `${l} ${count(v)}`).join('  ');
        }],
      },
    }, [times, ...stacked.slice().reverse()], host.current!);
    const resize = new ResizeObserver(() => host.current && plot.setSize({ width: host.current.clientWidth, height: 124 }));
    resize.observe(host.current!);
    return () => { resize.disconnect(); plot.destroy(); };
  }, [series, start, end, step]);
  const totals = new Map<Level, number>();
  for (const s of series) totals.set(levelOfLabels(s.metric), (totals.get(levelOfLabels(s.metric)) ?? 0) + s.values.reduce((n, [, v]) => n + Number(v), 0));
  return (
    <section class="histogram" aria-label="Log volume by level">
      <div class="legend">
        {levels.filter((l) => totals.has(l)).map((l) => <span key={l}><i style={{ background: levelColor[l] }} />{l} {count(totals.get(l)!)}</span>)}
        <span class="tip" />
      </div>
      <div ref={host} class="plot" />
    </section>
  );
}
