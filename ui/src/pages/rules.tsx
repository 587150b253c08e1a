import { useState } from 'preact/hooks';
import { json, LokiError } from '../api';
import { ago, seconds } from '../time';
import { address } from '../url';
import { Page, usePoll } from './poll';

interface Alert { labels: Record<string, string>; annotations: Record<string, string>; state: string; activeAt: string; value: string }
interface Rule { name: string; query: string; state?: string; health: string; lastError?: string; type: string; labels?: Record<string, string>; alerts?: Alert[]; evaluationTime?: number; lastEvaluation?: string; duration?: number }
interface Group { name: string; file: string; interval: number; rules: Rule[]; evaluationTime?: number; lastEvaluation?: string }

// number writes a value, which comes as 5e+01, as people do.
const number = (v: string) => (Number.isFinite(Number(v)) ? String(Number(v)) : v);

export function RulesPage() {
  const [only, setOnly] = useState('');
  const { data, error } = usePoll(async (s) => {
    try {
      return (await json<{ data: { groups: Group[] } }>('/prometheus/api/v1/rules', {}, s)).data.groups ?? [];
    } catch (e) {
      if (e instanceof LokiError && e.status === 404) return [];
      throw e;
    }
  }, 10000);
  const shows = (r: Rule) => !only || r.state === only || (only === 'err' && r.health === 'err');
  return (
    <Page title="Rules and alerts" error={error}>
      <div class="bar filters">
        {['', 'firing', 'pending', 'inactive', 'err'].map((s) => <button key={s} class={only === s ? 'on' : ''} onClick={() => setOnly(s)}>{s === '' ? 'all' : s === 'err' ? 'failing' : s}</button>)}
      </div>
      {data?.length === 0 && <p class="empty">No rule groups. Put files in the ruler's storage, or send groups to /loki/api/v1/rules/&lt;namespace&gt;.</p>}
      {data?.filter((g) => g.rules.some(shows)).map((g) => (
        <section key={g.file + g.name}>
          <h3>{g.file} / {g.name} <span class="hint">every {seconds(g.interval)}{g.lastEvaluation && `, evaluated ${ago(g.lastEvaluation)} in ${seconds(g.evaluationTime ?? 0)}`}</span></h3>
          <div class="scroll"><table><tbody>
            {g.rules.filter(shows).map((r, i) => (
              <tr key={i}>
                <td><span class={`state ${r.health === 'err' ? 'UNHEALTHY' : r.state ?? 'recording'}`}>{r.health === 'err' ? 'failing' : r.state ?? 'recording'}</span></td>
                <td><strong>{r.name}</strong><br /><a href={address('explore', { q: r.query })}><code>{r.query}</code></a>
                  {r.lastError && <p class="bad">{r.lastError}</p>}
                  {r.alerts?.map((a, k) => (
                    <p key={k} class="alert"><span class={`state ${a.state}`}>{a.state}</span> {Object.entries(a.labels).map(([n, v]) => `${n}=${v}`).join(' ')} = {number(a.value)}, since {ago(a.activeAt)}
                      {Object.entries(a.annotations).map(([n, v]) => <span class="hint" key={n}> {n}: {v}</span>)}</p>
                  ))}
                </td>
              </tr>
            ))}
          </tbody></table></div>
        </section>
      ))}
    </Page>
  );
}
