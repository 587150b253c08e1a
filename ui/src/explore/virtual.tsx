import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

interface Props<T> { items: T[]; estimate: number; idOf: (item: T) => string; row: (item: T, index: number) => ComponentChildren; label: string; reveal?: (item: T) => boolean }

// Virtual is a scrolling list that has only the rows in sight in the document. Rows may be of any height: they are measured
// when they are shown, and taken for the estimate before that. New items begin at the first one that reveal accepts, or at the top.
export function Virtual<T>({ items, estimate, idOf, row, label, reveal }: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const [view, setView] = useState({ top: 0, height: 600 });
  const [measured, setMeasured] = useState(0);

  const offsets = useMemo(() => {
    const out = new Float64Array(items.length + 1);
    for (let i = 0; i < items.length; i++) out[i + 1] = out[i] + (heights.current.get(idOf(items[i])) ?? estimate);
    return out;
  }, [items, estimate, measured]);

  const at = (y: number) => {
    let lo = 0, hi = items.length;
    while (lo < hi) { const mid = (lo + hi) >> 1; if (offsets[mid + 1] <= y) lo = mid + 1; else hi = mid; }
    return lo;
  };
  const first = Math.max(0, at(view.top) - 8);
  const last = Math.min(items.length, at(view.top + view.height) + 9);

  useLayoutEffect(() => {
    const el = box.current!;
    const seen = new ResizeObserver(() => setView({ top: el.scrollTop, height: el.clientHeight }));
    seen.observe(el);
    return () => seen.disconnect();
  }, []);

  useLayoutEffect(() => {
    let changed = false;
    const measure = () => {
      for (const el of box.current!.querySelectorAll<HTMLElement>('[data-row]')) {
        const h = el.offsetHeight;
        if (h && heights.current.get(el.dataset.row!) !== h) { heights.current.set(el.dataset.row!, h); changed = true; }
      }
      if (changed) { changed = false; setMeasured((n) => n + 1); }
    };
    measure();
    const seen = new ResizeObserver(() => box.current && measure());
    for (const el of box.current!.querySelectorAll('[data-row]')) seen.observe(el);
    return () => seen.disconnect();
  }, [first, last, items]);

  useLayoutEffect(() => {
    const i = reveal ? items.findIndex(reveal) : -1;
    const el = box.current!;
    if (i >= 0) el.scrollTop = Math.max(0, offsets[i] - el.clientHeight / 2);
  }, [items]);

  const rows = [];
  for (let i = first; i < last; i++) {
    const id = idOf(items[i]);
    rows.push(<div key={id} data-row={id} role="listitem">{row(items[i], i)}</div>);
  }
  return (
    <div class="virtual" ref={box} role="list" aria-label={label} tabIndex={0}
      onScroll={(e) => { const el = e.currentTarget; setView({ top: el.scrollTop, height: el.clientHeight }); }}>
      <div style={{ height: `${offsets[items.length]}px`, position: 'relative' }}>
        <div style={{ transform: `translateY(${offsets[first]}px)` }}>{rows}</div>
      </div>
    </div>
  );
}
