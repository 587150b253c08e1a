import { json, request } from '../api';
import { ago, count } from '../time';
import { Page, usePoll } from './poll';

interface Member { id: string; state: string; address: string; timestamp: string; registered_timestamp: string; zone: string; tokens: number[]; version?: string }
interface Ring { shards: Member[] | null; now: string }

// Every member is distributor, ingester, ruler and compactor at once, so that there is one ring for all.
const path = '/ring';

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

// A member that gossip has found dead is UNHEALTHY, however short ago that was.
const stale = (m: Member, now: string) => m.state === 'UNHEALTHY' || Date.parse(now) - Date.parse(m.timestamp) > 60e3;

export function RingPage() {
  const { data, error, again } = usePoll((s) => json<Ring>(path, {}, s), 5000);
  const forget = async (id: string) => {
    if (!confirm(`Forget ${id}? Do this only if it is gone for good: its part of the ring goes to the others.`)) return;
    await request(path, { forget: id }, { method: 'POST', redirect: 'manual' }).catch(() => undefined);
    again();
  };
  const members = data?.shards ?? [];
  const part = shares(members);
  const now = data ? Date.parse(data.now) : 0;
  const ill = members.filter((m) => stale(m, data!.now)).length;
  return (
    <Page title="Members of the ring" error={error}>
      {members.length > 0 && <p class="hint">{members.length === 1 ? 'One member' : `${members.length} members, ${ill === 0 ? 'all of them answer' : `${ill} of them ${ill === 1 ? 'does' : 'do'} not answer`}`}. Each takes pushes, answers queries, evaluates rules; one compacts.</p>}
      {data && members.length === 0 && <p class="empty">This process has no ring.</p>}
      {members.length > 0 && (
        <div class="scroll"><table>
          <thead><tr><th>Member</th><th>State</th><th>Share</th><th>Heartbeat</th><th>Since</th><th>Address</th><th>Zone</th><th class="num">Tokens</th><th /></tr></thead>
          <tbody>
            {members.map((m) => {
              const bad = stale(m, data!.now);
              return (
                <tr key={m.id} class={bad ? 'unhealthy' : ''}>
                  <td>{m.id}</td><td><span class={`state ${bad ? 'UNHEALTHY' : m.state}`}>{bad ? 'UNHEALTHY' : m.state}</span></td>
                  <td class="share"><meter value={part.get(m.id) ?? 0} max={1} /> {((part.get(m.id) ?? 0) * 100).toFixed(1)} %</td>
                  <td>{ago(m.timestamp, now)}</td><td>{ago(m.registered_timestamp, now)}</td><td>{m.address}</td><td>{m.zone}</td><td class="num">{count(m.tokens?.length ?? 0)}</td>
                  <td>{(bad || m.state !== 'ACTIVE') && <button onClick={() => forget(m.id)}>Forget</button>}</td>
                </tr>
              );
            })}
          </tbody>
        </table></div>
      )}
    </Page>
  );
}
