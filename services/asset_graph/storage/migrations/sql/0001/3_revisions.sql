-- One lock for each workspace, taken before anything is changed, and the revision that goes with it.

-- Before any statement that changes something: the rows of the workspaces that it may change, in one order. A server
-- names its workspace. Whoever writes without naming one (an operator's SQL) locks all, since two such writers that had
-- locked assets first would wait for one another.
CREATE FUNCTION public.shotline_lock() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    named text := current_setting('shotline.workspaces', true);
    mine text := pg_current_xact_id()::text;
BEGIN
    IF named IS NULL OR named IN ('', '*') THEN
        IF current_setting('shotline.locked', true) IS DISTINCT FROM mine THEN
            PERFORM FROM workspaces ORDER BY id FOR NO KEY UPDATE;
            PERFORM set_config('shotline.locked', mine, true);
        END IF;
    ELSE
        PERFORM FROM workspaces WHERE id = ANY (named::text[]) ORDER BY id FOR NO KEY UPDATE;
    END IF;
    RETURN NULL;
END $$;

-- The revision of this transaction in a workspace: one more than the last one's, at its first call. Whoever commits first
-- has the lower number, since the row stays locked until then.
CREATE FUNCTION public.shotline_next_revision(workspace text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    mine bigint;
BEGIN
    UPDATE workspaces SET revision = revision + 1, revision_xid = pg_current_xact_id(), revised_at = now()
        WHERE id = workspace
        AND (revision_xid IS DISTINCT FROM pg_current_xact_id() OR revised_at IS DISTINCT FROM now())
        RETURNING revision INTO mine;
    IF mine IS NULL THEN
        SELECT revision INTO mine FROM workspaces WHERE id = workspace;
    ELSE
        PERFORM pg_notify('shotline_changes', workspace);
    END IF;
    RETURN mine;
END $$;
REVOKE ALL ON FUNCTION public.shotline_next_revision(text) FROM PUBLIC;

-- An error that a server can read: SQLSTATE for the kind, DETAIL for the facts as JSON.
CREATE FUNCTION public.shotline_refuse(kind text, message text, facts jsonb) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = kind, MESSAGE = message, DETAIL = facts::text;
END $$;

-- Drops what is older from the log of changes and of requests. For a server that is never what is younger than a day.
CREATE FUNCTION public.shotline_prune(keep interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    since timestamptz := clock_timestamp() - CASE
        WHEN session_user = current_user THEN keep ELSE greatest(keep, interval '24 hours') END;
BEGIN
    -- A revision goes as a whole: up to the newest that has nothing younger in it. Workspaces that are being changed
    -- are left for the next time: nobody waits for anybody here.
    WITH old AS (
        SELECT c.workspace_id, max(c.revision) AS revision FROM change_log c
        WHERE c.created_at < since
        AND NOT EXISTS (
            SELECT FROM change_log y WHERE y.workspace_id = c.workspace_id AND y.revision = c.revision
            AND y.created_at >= since)
        GROUP BY c.workspace_id
    ), free AS (
        SELECT w.id FROM workspaces w WHERE w.id IN (SELECT old.workspace_id FROM old)
        ORDER BY w.id FOR NO KEY UPDATE SKIP LOCKED
    ), told AS (
        UPDATE workspaces w SET oldest_revision = old.revision + 1 FROM old, free
        WHERE w.id = old.workspace_id AND w.id = free.id AND w.oldest_revision <= old.revision
    )
    DELETE FROM change_log c USING old, free
        WHERE c.workspace_id = old.workspace_id AND old.workspace_id = free.id AND c.revision <= old.revision;
    DELETE FROM request_log WHERE created_at < since;
END $$;
REVOKE ALL ON FUNCTION public.shotline_prune(interval) FROM PUBLIC;
