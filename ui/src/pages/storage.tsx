import { json, LokiError } from '../api';
import { ago, bytes, count, local } from '../time';
import { Page, usePoll } from './poll';

interface Table { name: string; day: string; store: string; files: number; bytes: number; compacted: boolean; tenants: string[] | null }
interface Storage { object_store: string; tables: Table[] | null; facts: [string, string][] | null }
interface Delete { request_id: string; query: string; start_time: number; end_time: number; status: string; created_at: number }

interface Compactor { owner: boolean; last_run: string; last_success: string; last_error?: string; tables: number; pending_files: number; chunks_marked: Record<string, number> | null; chunks_deleted: Record<string, number> | null }

const when = (t: string) => (t.startsWith('0001') ? 'not yet' : ago(t));
const sum = (days: Record<string, number> | null) => Object.values(days ?? {}).reduce((a, b) => a + b, 0);

// CompactorState is what the member that is asked did; only the one with the lock does anything.
function CompactorState({ s }: { s: Compactor }) {
  return (
    <>
      <h3>Compaction and retention <span class={`state ${s.owner ? 'ACTIVE' : ''}`}>{s.owner ? 'done by this member' : 'done by another member'}</span></h3>
      <dl class="facts">
        <dt>Last run</dt><dd>{when(s.last_run)}</dd>
        <dt>Last without a failure</dt><dd>{when(s.last_success)}</dd>
        {s.last_error && <><dt>Last error</dt><dd class="bad">{s.last_error}</dd></>}
        <dt>Tables looked at</dt><dd>{count(s.tables)}</dd>
        <dt>Old index files to be removed</dt><dd>{count(s.pending_files)}</dd>
        <dt>Chunks taken out, removed</dt><dd>{count(sum(s.chunks_marked))}, {count(sum(s.chunks_deleted))} since the start</dd>
      </dl>
    </>
  );
}

// StoragePage shows the index tables in the bucket, how far compaction and retention got, and delete requests.
export function StoragePage() {
  const { data, error } = usePoll((s) => json<Storage>('/logstore/api/v1/storage', {}, s), 30000);
  const deletes = usePoll(async (s) => {
    try { return await json<Delete[]>('/loki/api/v1/delete', {}, s); } catch (e) { if (e instanceof LokiError && e.status < 500) return []; throw e; }
  }, 30000);
  const compactor = usePoll(async (s) => {
    try { return await json<Compactor>('/compactor/status', {}, s); } catch (e) { if (e instanceof LokiError && e.status < 500) return null; throw e; }
  }, 10000);
  const tables = [...(data?.tables ?? [])].sort((a, b) => (a.day < b.day ? 1 : -1));
  return (
    <Page title="Storage" error={error}>
      {data && (
        <dl class="facts">
          <dt>Object store</dt><dd>{data.object_store}</dd>
          {data.facts?.map(([k, v]) => <><dt>{k}</dt><dd>{v}</dd></>)}
        </dl>
      )}
      <h3>Index tables</h3>
      {data && tables.length === 0 && <p class="empty">No table was uploaded yet: that happens within some minutes after chunks were flushed.</p>}
      {tables.length > 0 && (
        <div class="scroll"><table>
          <thead><tr><th>Day</th><th>Table</th><th>Index</th><th class="num">Files</th><th class="num">Size</th><th>State</th><th>Tenants</th></tr></thead>
          <tbody>{tables.map((t) => (
            <tr key={t.name}><td>{t.day}</td><td>{t.name}</td><td>{t.store}</td><td class="num">{count(t.files)}</td><td class="num">{bytes(t.bytes)}</td><td><span class={`state ${t.compacted ? 'ACTIVE' : ''}`}>{t.compacted ? 'compacted' : 'as uploaded'}</span></td><td>{t.tenants?.join(', ')}</td></tr>
          ))}</tbody>
        </table></div>
      )}
      {compactor.data && <CompactorState s={compactor.data} />}
      <h3>Delete requests</h3>
      {deletes.error && <p class="bad">{deletes.error}</p>}
      {!deletes.data?.length ? <p class="hint">None.</p> : (
        <div class="scroll"><table>
          <thead><tr><th>Query</th><th>From</th><th>To</th><th>State</th><th>Made</th></tr></thead>
          <tbody>{deletes.data.map((d) => <tr key={d.request_id}><td><code>{d.query}</code></td><td>{local(d.start_time * 1e3)}</td><td>{local(d.end_time * 1e3)}</td><td>{d.status}</td><td>{ago(d.created_at * 1e3)}</td></tr>)}</tbody>
        </table></div>
      )}
    </Page>
  );
}
