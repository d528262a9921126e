-- What the database does when assets change.

CREATE FUNCTION public.shotline_asset_fixed() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.shotline_refuse('SH005', 'id, workspace, type and creation time of an asset never change',
        jsonb_build_object('id', OLD.id, 'workspace_id', OLD.workspace_id));
    RETURN NULL;
END $$;

-- Never backwards, even when the clock goes back.
CREATE FUNCTION public.shotline_asset_touched() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.updated_at := greatest(clock_timestamp(), OLD.updated_at);
    RETURN NEW;
END $$;

-- The name under which a type is stored, for one of its aliases. The trigger is made with the list of aliases.
CREATE FUNCTION public.shotline_asset_alias() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT t.type INTO STRICT NEW.type FROM public.asset_types t WHERE NEW.type = ANY (t.aliases);
    RETURN NEW;
END $$;

CREATE FUNCTION public.shotline_asset_item(id uuid, type text, name text, etag text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT jsonb_build_object('id', id, 'type', type, 'name', left(name, 200), 'etag', etag) $$;

CREATE FUNCTION public.shotline_assets_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'asset', 'created', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_asset_item(n.id, n.type, n.name, n.etag) ORDER BY n.place) AS items
        FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY id) - 1 AS place FROM added) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;
    RETURN NULL;
END $$;

-- Old and new rows are joined by hash: a plan made for one row must not be kept for a thousand.
CREATE FUNCTION public.shotline_assets_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on
AS $$
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'asset', 'updated', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_asset_item(n.id, n.type, n.name, n.etag) ORDER BY n.place) AS items
        FROM (SELECT a.*, row_number() OVER (PARTITION BY a.workspace_id ORDER BY a.id) - 1 AS place
              FROM after a JOIN before b ON b.id = a.id AND b.workspace_id = a.workspace_id
              WHERE a.etag <> b.etag) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;
    RETURN NULL;
END $$;

CREATE FUNCTION public.shotline_assets_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'asset', 'deleted', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_asset_item(n.id, n.type, n.name, n.etag) ORDER BY n.place) AS items
        FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY id) - 1 AS place FROM removed) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;
    INSERT INTO deleted_assets (id, workspace_id, type, name, url, duration, generation_cost, asset_metadata, etag,
                                created_at, updated_at, deleted_revision)
    SELECT r.id, r.workspace_id, r.type, r.name, r.url, r.duration, r.generation_cost, r.asset_metadata, r.etag,
           r.created_at, r.updated_at, (SELECT w.revision FROM workspaces w WHERE w.id = r.workspace_id)
    FROM removed r
    -- Somebody's own SQL may use an id again; the last death counts.
    ON CONFLICT (id, workspace_id) DO UPDATE SET
        (type, name, url, duration, generation_cost, asset_metadata, etag, created_at, updated_at,
         deleted_with, deleted_revision, deleted_at, deleted_by)
        = (excluded.type, excluded.name, excluded.url, excluded.duration, excluded.generation_cost,
           excluded.asset_metadata, excluded.etag, excluded.created_at, excluded.updated_at,
           excluded.deleted_with, excluded.deleted_revision, excluded.deleted_at, excluded.deleted_by);
    RETURN NULL;
END $$;

CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE ON public.assets
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.shotline_lock();
CREATE TRIGGER b_fixed BEFORE UPDATE ON public.assets FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.workspace_id <> OLD.workspace_id OR NEW.type <> OLD.type
          OR NEW.created_at <> OLD.created_at)
    EXECUTE FUNCTION public.shotline_asset_fixed();
CREATE TRIGGER c_touched BEFORE UPDATE ON public.assets FOR EACH ROW EXECUTE FUNCTION public.shotline_asset_touched();
CREATE TRIGGER d_created AFTER INSERT ON public.assets REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_assets_created();
CREATE TRIGGER d_updated AFTER UPDATE ON public.assets REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_assets_updated();
CREATE TRIGGER d_deleted AFTER DELETE ON public.assets REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_assets_deleted();
