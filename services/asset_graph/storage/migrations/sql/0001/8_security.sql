-- Who may see and do what. `shotline.workspaces` says for whom a transaction acts: '{"a","b"}', or '*'. Unset, nothing is
-- visible. FORCE, since the owner of a table is otherwise exempt.

DO $$
DECLARE
    held record;
BEGIN
    FOR held IN VALUES ('workspaces', 'id'), ('assets', 'workspace_id'), ('asset_relationships', 'workspace_id'),
        ('shot_state', 'workspace_id'), ('selection_history', 'workspace_id'), ('change_log', 'workspace_id'),
        ('request_log', 'workspace_id'), ('deleted_assets', 'workspace_id'),
        ('deleted_asset_relationships', 'workspace_id'), ('deleted_shot_state', 'workspace_id')
    LOOP
        -- Each (SELECT …) is evaluated once for a statement; comparing with its value can use an index.
        EXECUTE format($policy$
            CREATE POLICY own_workspaces ON public.%1$I USING (
                %2$I = ANY (coalesce((SELECT nullif(nullif(current_setting('shotline.workspaces', true), ''), '*')::text[]),
                                     '{}'))
                OR (SELECT current_setting('shotline.workspaces', true) = '*'))
        $policy$, held.column1, held.column2);
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held.column1);
    END LOOP;
END $$;

-- Seed 004 reads this view. The security_invoker is what keeps other workspaces out of it.
CREATE VIEW public.assets_v2 WITH (security_invoker = true) AS
    SELECT id, workspace_id, type, name, url, duration, generation_cost, asset_metadata AS metadata, etag,
           created_at, updated_at
    FROM public.assets;

-- An asset as JSON text, put together from its parts: json_build_object takes twice as long. `more`: further members, each
-- with a comma before it. Times are RFC 3339 in the session's time zone, which a server of ours sets to UTC.
CREATE FUNCTION public.shotline_asset_json(asset public.assets, more text DEFAULT '') RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT '{"id": "' || asset.id || '", "workspace_id": ' || to_json(asset.workspace_id)
        || ', "type": ' || to_json(asset.type) || ', "name": ' || to_json(asset.name)
        || ', "url": ' || coalesce(to_json(asset.url)::text, 'null')
        || ', "duration": ' || coalesce(asset.duration::text, 'null')
        || ', "generation_cost": ' || coalesce('"' || asset.generation_cost || '"', 'null')
        || ', "metadata": ' || asset.asset_metadata || ', "etag": "' || asset.etag
        || '", "create_time": ' || to_json(asset.created_at) || ', "update_time": ' || to_json(asset.updated_at)
        || more || '}'
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO shotline_app;
GRANT SELECT ON public.workspaces, public.asset_types, public.relationship_types, public.relationship_rules,
    public.assets, public.assets_v2, public.asset_relationships, public.shot_state, public.selection_history, public.change_log,
    public.request_log, public.deleted_assets, public.deleted_asset_relationships, public.deleted_shot_state
    TO shotline_app;
GRANT INSERT (id, currency), UPDATE (currency) ON public.workspaces TO shotline_app;
GRANT INSERT, UPDATE, DELETE ON public.assets, public.asset_relationships TO shotline_app;
GRANT UPDATE (selected_take_id) ON public.shot_state TO shotline_app;
GRANT INSERT ON public.request_log TO shotline_app;
GRANT EXECUTE ON FUNCTION public.shotline_undelete(text, uuid), public.shotline_prune(interval) TO shotline_app;
