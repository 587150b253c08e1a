import { json, request } from '../api';
import { ago, count } from '../time';
import { Page, usePoll } from './poll';

interface Member { id: string; state: string; address: string; timestamp: string; registered_timestamp: string; zone: string; tokens: number[]; version?: string }
interface Ring { shards: Member[] | null; now: string }

const rings: [string, string][] = [['/ring', 'Ingesters'], ['/distributor/ring', 'Distributors'], ['/ruler/ring', 'Rulers'], ['/compactor/ring', 'Compactor']];

// shares returns the part of the token space that each member owns first, between 0 and 1.
export function shares(members: Member[]): Map<string, number> {
  const all = members.flatMap((m) => (m.tokens ?? []).map((t) => ({ t, id: m.id }))).sort((a, b) => a.t - b.t);
  const out = new Map<string, number>();
  all.forEach(({ t, id }, i) => {
    const before = i === 0 ? all[all.length - 1].t - 2 ** 32 : all[i - 1].t;
    out.set(id, (out.get(id) ?? 0) + (t - before) / 2 ** 32);
  });
  return out;
}

const stale = (m: Member, now: string) => Date.parse(now) - Date.parse(m.timestamp) > 60e3;

export function RingPage() {
  const { data, error, again } = usePoll((s) => Promise.all(rings.map(async ([path, name]) => ({ path, name, ring: await json<Ring>(path, {}, s).catch(() => null) }))), 5000);
  const forget = async (path: string, id: string) => {
    if (!confirm(`Forget ${id}? Do this only if it is gone for good: its part of the ring goes to the others.`)) return;
    await request(path, { forget: id }, { method: 'POST', redirect: 'manual' }).catch(() => undefined);
    again();
  };
  return (
    <Page title="Members of the ring" error={error}>
      {data?.filter((r) => r.ring?.shards?.length).map(({ path, name, ring }) => {
        const part = shares(ring!.shards!);
        return (
          <section key={path}>
            <h3>{name}</h3>
            <div class="scroll"><table>
              <thead><tr><th>Member</th><th>State</th><th>Address</th><th>Zone</th><th>Heartbeat</th><th>Since</th><th class="num">Tokens</th><th>Share</th><th /></tr></thead>
              <tbody>
                {ring!.shards!.map((m) => {
                  const bad = stale(m, ring!.now);
                  return (
                    <tr key={m.id} class={bad ? 'unhealthy' : ''}>
                      <td>{m.id}</td><td><span class={`state ${bad ? 'UNHEALTHY' : m.state}`}>{bad ? 'UNHEALTHY' : m.state}</span></td><td>{m.address}</td><td>{m.zone}</td>
                      <td>{ago(m.timestamp, Date.parse(ring!.now))}</td><td>{ago(m.registered_timestamp, Date.parse(ring!.now))}</td><td class="num">{count(m.tokens?.length ?? 0)}</td>
                      <td><meter value={part.get(m.id) ?? 0} max={1} /> {((part.get(m.id) ?? 0) * 100).toFixed(1)} %</td>
                      <td>{(bad || m.state !== 'ACTIVE') && <button onClick={() => forget(path, m.id)}>Forget</button>}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table></div>
          </section>
        );
      })}
      {data && !data.some((r) => r.ring?.shards?.length) && <p class="empty">This process has no ring.</p>}
    </Page>
  );
}
