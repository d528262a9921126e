-- Opens a server's change, in one call since each way to the server costs: says for whom it acts, finds the workspace (the
-- one named, else that of an asset which the scope holds, deleted or not), makes it where it is new, locks it, and stops at
-- a request that was answered before. Where it is not to wait for the lock it says so. Volatile, so that what others
-- committed before the lock was had is seen behind it.
CREATE FUNCTION public.shotline_begin(
    scope text, workspace text, asset uuid, actor text, client text, request uuid, wait boolean
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp
AS $$
DECLARE
    mine text := workspace;
BEGIN
    IF mine IS NULL THEN
        PERFORM set_config('shotline.workspaces', scope, true);
        SELECT a.workspace_id INTO mine FROM assets a WHERE a.id = asset;
        IF NOT FOUND THEN
            SELECT d.workspace_id INTO mine FROM deleted_assets d WHERE d.id = asset ORDER BY d.deleted_at DESC LIMIT 1;
        END IF;
        IF NOT FOUND THEN
            PERFORM shotline_refuse('SH006', format('no asset %s', asset), jsonb_build_object('id', asset));
        END IF;
    ELSIF scope <> '*' AND NOT mine = ANY (scope::text[]) THEN
        IF asset IS NOT NULL THEN
            PERFORM shotline_refuse('SH006', format('no asset %s', asset), jsonb_build_object('id', asset));
        END IF;
        PERFORM shotline_refuse('SH009', 'another workspace', jsonb_build_object('workspace_id', mine));
    END IF;
    PERFORM set_config('shotline.workspaces', ARRAY[mine]::text, true), set_config('shotline.workspace', mine, true),
        set_config('shotline.actor', shotline_begin.actor, true), set_config('shotline.client', shotline_begin.client, true),
        set_config('shotline.request_id', coalesce(request::text, ''), true),
        -- A change looks rows up by id: by index also while a table is small, since plans are kept.
        set_config('enable_seqscan', 'off', true);
    IF wait THEN
        PERFORM FROM workspaces w WHERE w.id = mine FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            INSERT INTO workspaces (id) VALUES (mine) ON CONFLICT DO NOTHING;
            PERFORM FROM workspaces w WHERE w.id = mine FOR NO KEY UPDATE;
        END IF;
    ELSE
        PERFORM FROM workspaces w WHERE w.id = mine FOR NO KEY UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            PERFORM shotline_refuse('SH008', 'somebody changes it', jsonb_build_object('workspace_id', mine));
        END IF;
    END IF;
    IF request IS NOT NULL AND EXISTS (
        SELECT FROM request_log l WHERE l.workspace_id = mine AND l.request_id = request)
    THEN
        PERFORM shotline_refuse('SH007', 'answered already', jsonb_build_object('workspace_id', mine));
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION public.shotline_begin(text, text, uuid, text, text, uuid, boolean) TO shotline_app;
