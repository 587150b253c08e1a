import { useState } from 'preact/hooks';
import { json } from '../api';
import { bytes, count } from '../time';
import { Page, usePoll } from './poll';

interface Use { name: string; limit: string; used: number; of: number; unit: string }
interface Tenant { tenant: string; streams: number; received_bytes: number; use: Use[]; limits: Record<string, unknown> }

const show = (v: number, unit: string) => (unit === 'bytes' ? bytes(v) : unit === 'bytes/s' ? bytes(v) + '/s' : count(Math.round(v)));

// TenantsPage shows who pushes, and how near each tenant is to its limits.
export function TenantsPage() {
  const { data, error } = usePoll((s) => json<{ tenants: Tenant[] }>('/logstore/api/v1/tenants', {}, s), 5000);
  const [open, setOpen] = useState('');
  return (
    <Page title="Tenants and their limits" error={error}>
      <p class="hint">As this process sees them.</p>
      {data?.tenants.length === 0 && <p class="empty">No tenant has streams in memory.</p>}
      {data?.tenants.map((t) => (
        <section key={t.tenant}>
          <h3>{t.tenant} <span class="hint">{count(t.streams)} streams, {bytes(t.received_bytes)} received since the start</span></h3>
          <div class="scroll"><table>
            <thead><tr><th>Limit</th><th>In use</th><th class="num">Used</th><th class="num">Allowed</th></tr></thead>
            <tbody>
              {t.use.map((u) => (
                <tr key={u.limit}><td title={u.limit}>{u.name}</td><td><meter value={u.of > 0 ? Math.min(1, u.used / u.of) : 0} high={0.8} max={1} /></td><td class="num">{show(u.used, u.unit)}</td><td class="num">{u.of > 0 ? show(u.of, u.unit) : 'no limit'}</td></tr>
              ))}
            </tbody>
          </table></div>
          <button class="more" aria-expanded={open === t.tenant} onClick={() => setOpen(open === t.tenant ? '' : t.tenant)}>{open === t.tenant ? 'Hide' : 'All'} limits</button>
          {open === t.tenant && <table><tbody>{Object.entries(t.limits).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => <tr key={k}><th>{k}</th><td><code>{typeof v === 'string' ? v : JSON.stringify(v)}</code></td></tr>)}</tbody></table>}
        </section>
      ))}
    </Page>
  );
}
