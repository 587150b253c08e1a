import { useEffect, useRef, useState } from 'preact/hooks';
import { quick, rangeText, resolve, type Range } from '../time';

// TimeRange is the button that shows the range and the panel that changes it.
export function TimeRange({ range, onChange }: { range: Range; onChange: (r: Range) => void }) {
  const [open, setOpen] = useState(false);
  const [from, setFrom] = useState(range.from);
  const [to, setTo] = useState(range.to);
  const root = useRef<HTMLDivElement>(null);
  useEffect(() => { setFrom(range.from); setTo(range.to); }, [range.from, range.to]);
  useEffect(() => {
    if (!open) return;
    const close = (e: Event) => { if (e instanceof KeyboardEvent ? e.key === 'Escape' : !root.current?.contains(e.target as Node)) setOpen(false); };
    document.addEventListener('mousedown', close);
    document.addEventListener('keydown', close);
    return () => { document.removeEventListener('mousedown', close); document.removeEventListener('keydown', close); };
  }, [open]);
  const bad = !(resolve(from) < resolve(to));
  const pick = (r: Range) => { onChange(r); setOpen(false); };
  return (
    <div class="timerange" ref={root}>
      <button aria-haspopup="dialog" aria-expanded={open} onClick={() => setOpen(!open)} title="Time range">{rangeText(range)} ▾</button>
      {open && (
        <div class="panel" role="dialog" aria-label="Time range">
          <form onSubmit={(e) => { e.preventDefault(); if (!bad) pick({ from, to }); }}>
            <label>From <input value={from} onInput={(e) => setFrom(e.currentTarget.value)} /></label>
            <label>To <input value={to} onInput={(e) => setTo(e.currentTarget.value)} /></label>
            <p class="hint">now-6h, now, or a time such as 2026-01-15 09:30:00</p>
            {bad && <p class="bad">From must be a time before To.</p>}
            <button type="submit" class="primary" disabled={bad}>Apply</button>
          </form>
          <div class="quick">
            {quick.map(([f, text]) => <button key={f} class={range.from === f && range.to === 'now' ? 'on' : ''} onClick={() => pick({ from: f, to: 'now' })}>{text}</button>)}
          </div>
        </div>
      )}
    </div>
  );
}
