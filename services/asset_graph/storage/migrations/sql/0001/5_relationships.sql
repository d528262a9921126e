-- What the database does when relationships change.

CREATE FUNCTION public.shotline_relationship_fixed() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM public.shotline_refuse('SH005',
        'id, workspace, ends, type and creation time of a relationship never change, nor does the number of an attempt',
        jsonb_build_object('id', OLD.id, 'workspace_id', OLD.workspace_id));
    RETURN NULL;
END $$;

-- A writer who names no workspace means that of the parent. With the caller's own rights: what it may not see is not there.
CREATE FUNCTION public.shotline_relationship_workspace() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    SELECT a.workspace_id INTO NEW.workspace_id FROM public.assets a WHERE a.id = NEW.parent_asset_id;
    IF NOT FOUND THEN
        PERFORM public.shotline_refuse('SH006', format('no asset %s', NEW.parent_asset_id),
            jsonb_build_object('id', NEW.parent_asset_id));
    END IF;
    RETURN NEW;
END $$;

-- The next place among the siblings. A take's is its attempt number: what its metadata says, else one more than any ever
-- given. The trigger is made with the list of ordered types.
CREATE FUNCTION public.shotline_relationship_numbered() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    wished jsonb;
    last int;
BEGIN
    IF NEW.relationship_type = 'generation_attempt' THEN
        SELECT a.asset_metadata->'attempt_number' INTO wished FROM public.assets a
            WHERE a.id = NEW.child_asset_id AND a.workspace_id = NEW.workspace_id;
        IF jsonb_typeof(wished) = 'number' THEN
            IF wished::numeric BETWEEN 1 AND 2147483647 AND wished::numeric = trunc(wished::numeric) THEN
                NEW.sequence := wished::numeric::int;
                RETURN NEW;
            END IF;
        END IF;
        SELECT s.last_attempt_number INTO last FROM public.shot_state s
            WHERE s.shot_id = NEW.parent_asset_id AND s.workspace_id = NEW.workspace_id;
    END IF;
    SELECT 1 + greatest(max(r.sequence), last, 0) INTO NEW.sequence FROM public.asset_relationships r
        WHERE r.parent_asset_id = NEW.parent_asset_id AND r.relationship_type = NEW.relationship_type
        AND r.workspace_id = NEW.workspace_id;
    RETURN NEW;
END $$;

CREATE FUNCTION public.shotline_relationship_item(id uuid, parent uuid, child uuid, type text, sequence int) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT jsonb_build_object('id', id, 'parent', parent, 'child', child, 'type', type, 'sequence', sequence)
$$;

-- The way by which a new edge closes a cycle: from its parent through its child back to the parent.
CREATE FUNCTION public.shotline_cycle(workspace text, family text, parent uuid, child uuid) RETURNS uuid[]
LANGUAGE plpgsql SET search_path = public, pg_temp
AS $$
DECLARE
    came_from jsonb := '{}';
    seen uuid[] := ARRAY[child];
    frontier uuid[] := ARRAY[child];
    step record;
    next_frontier uuid[];
    way uuid[] := ARRAY[parent];
BEGIN
    WHILE cardinality(frontier) > 0 AND NOT parent = ANY (frontier) LOOP
        next_frontier := '{}';
        FOR step IN
            SELECT DISTINCT ON (r.child_asset_id) r.child_asset_id AS node, r.parent_asset_id AS came
            FROM asset_relationships r JOIN relationship_types t USING (relationship_type)
            WHERE r.parent_asset_id = ANY (frontier) AND t.family = shotline_cycle.family AND r.workspace_id = workspace
            AND NOT r.child_asset_id = ANY (seen)
        LOOP
            came_from := came_from || jsonb_build_object(step.node, step.came);
            next_frontier := next_frontier || step.node;
        END LOOP;
        seen := seen || next_frontier;
        frontier := next_frontier;
    END LOOP;
    WHILE way[1] <> child LOOP
        way := (came_from->>way[1]::text)::uuid || way;
    END LOOP;
    RETURN parent || way;
END $$;

-- The planner is held to looking rows up by their id (and where old rows are compared with new ones, to a hash): a plan
-- that was made while a table was small, or for a large statement, is kept for others. Each function says it of all
-- kinds of joins, since what one says holds for those that it calls. `workspace_id || ''` keeps it from indexes that begin with the workspace, which
-- seem as good as the primary key as long as a workspace has few rows.
CREATE FUNCTION public.shotline_relationships_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    all_right boolean;
    leading_on boolean;
    takes boolean;
    bad record;
BEGIN
    SELECT bool_and(u.relationship_type IS NOT NULL), bool_or(u.leads_on), bool_or(n.relationship_type = 'generation_attempt')
        INTO all_right, leading_on, takes
        FROM added n
        JOIN assets p ON p.id = n.parent_asset_id AND p.workspace_id || '' = n.workspace_id
        JOIN assets c ON c.id = n.child_asset_id AND c.workspace_id || '' = n.workspace_id
        LEFT JOIN relationship_rules u
        ON u.relationship_type = n.relationship_type AND u.parent_type = p.type AND u.child_type = c.type;

    IF NOT all_right THEN
        SELECT n.*, p.type AS parent_type, c.type AS child_type INTO bad
            FROM added n
            JOIN assets p ON p.id = n.parent_asset_id AND p.workspace_id || '' = n.workspace_id
            JOIN assets c ON c.id = n.child_asset_id AND c.workspace_id || '' = n.workspace_id
            WHERE NOT EXISTS (
                SELECT FROM relationship_rules u WHERE u.relationship_type = n.relationship_type
                AND u.parent_type = p.type AND u.child_type = c.type)
            ORDER BY n.id LIMIT 1;
        PERFORM shotline_refuse('SH001',
            format('%s cannot join a %s to a %s', bad.relationship_type, bad.parent_type, bad.child_type),
            jsonb_build_object('relationship_type', bad.relationship_type, 'parent', bad.parent_asset_id,
                'parent_type', bad.parent_type, 'child', bad.child_asset_id, 'child_type', bad.child_type));
    END IF;

    IF leading_on THEN
        -- A cycle goes through an edge whose child leads on and to whose parent something leads.
        WITH RECURSIVE edges AS (
            SELECT DISTINCT t.family, n.workspace_id, n.parent_asset_id AS parent, n.child_asset_id AS child
            FROM added n JOIN relationship_types t ON t.relationship_type = n.relationship_type
            WHERE t.family IS NOT NULL
            AND EXISTS (
                SELECT FROM asset_relationships r JOIN relationship_types f ON f.relationship_type = r.relationship_type
                WHERE r.child_asset_id = n.parent_asset_id AND f.family = t.family)
            AND EXISTS (
                SELECT FROM asset_relationships r JOIN relationship_types f ON f.relationship_type = r.relationship_type
                WHERE r.parent_asset_id = n.child_asset_id AND f.family = t.family)
        ), reached AS (
            SELECT DISTINCT family, workspace_id, child AS origin, child AS node FROM edges
            UNION
            SELECT h.family, h.workspace_id, h.origin, r.child_asset_id
            FROM reached h
            JOIN asset_relationships r ON r.parent_asset_id = h.node AND r.workspace_id = h.workspace_id
            JOIN relationship_types f ON f.relationship_type = r.relationship_type AND f.family = h.family
        )
        SELECT e.* INTO bad FROM edges e
            JOIN reached h ON h.family = e.family AND h.origin = e.child AND h.node = e.parent
            LIMIT 1;
        IF FOUND THEN
            PERFORM shotline_refuse('SH002', format('%s under %s closes a cycle', bad.child, bad.parent),
                jsonb_build_object('family', bad.family, 'path',
                    to_jsonb(shotline_cycle(bad.workspace_id, bad.family, bad.parent, bad.child))));
        END IF;
    END IF;

    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'relationship', 'created', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_relationship_item(
            n.id, n.parent_asset_id, n.child_asset_id, n.relationship_type, n.sequence) ORDER BY n.place) AS items
        FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY id) - 1 AS place FROM added) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;

    IF takes THEN
        PERFORM shotline_take_numbers(array_agg(n.child_asset_id), array_agg(n.workspace_id)) FROM added n
            WHERE n.relationship_type = 'generation_attempt';
        INSERT INTO shot_state AS s (workspace_id, shot_id, last_attempt_number)
            SELECT n.workspace_id, n.parent_asset_id, max(n.sequence) FROM added n
            WHERE n.relationship_type = 'generation_attempt'
            GROUP BY n.workspace_id, n.parent_asset_id ORDER BY n.workspace_id, n.parent_asset_id
            ON CONFLICT (shot_id, workspace_id) DO UPDATE
            SET last_attempt_number = greatest(s.last_attempt_number, excluded.last_attempt_number);
        PERFORM shotline_take_flags(array_agg(n.child_asset_id), array_agg(n.workspace_id)) FROM added n
            WHERE n.relationship_type = 'generation_attempt';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.shotline_relationships_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on
AS $$
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'relationship', c.kind, c.items FROM (
        SELECT n.workspace_id, n.kind, jsonb_agg(shotline_relationship_item(
            n.id, n.parent_asset_id, n.child_asset_id, n.relationship_type, n.sequence) ORDER BY n.place) AS items
        FROM (SELECT m.*, row_number() OVER (PARTITION BY m.workspace_id, m.kind ORDER BY m.id) - 1 AS place FROM (
                SELECT a.*, CASE WHEN a.sequence IS DISTINCT FROM b.sequence THEN 'moved' ELSE 'updated' END AS kind
                FROM after a JOIN before b ON b.id = a.id AND b.workspace_id = a.workspace_id
                WHERE a.sequence IS DISTINCT FROM b.sequence OR a.metadata <> b.metadata) m) n
        GROUP BY n.workspace_id, n.kind, n.place / 1000 ORDER BY n.workspace_id, n.kind, n.place / 1000) c;
    RETURN NULL;
END $$;

CREATE FUNCTION public.shotline_relationships_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    shots uuid[];
    takes uuid[];
    spaces text[];
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'relationship', 'deleted', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_relationship_item(
            n.id, n.parent_asset_id, n.child_asset_id, n.relationship_type, n.sequence) ORDER BY n.place) AS items
        FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY id) - 1 AS place FROM removed) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;
    INSERT INTO deleted_asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence,
                                             metadata, created_at, cascaded, deleted_revision)
    SELECT r.id, r.workspace_id, r.parent_asset_id, r.child_asset_id, r.relationship_type, r.sequence,
           r.metadata, r.created_at, p.id IS NULL OR c.id IS NULL, w.revision
    FROM removed r JOIN workspaces w ON w.id = r.workspace_id
    LEFT JOIN assets p ON p.id = r.parent_asset_id AND p.workspace_id || '' = r.workspace_id
    LEFT JOIN assets c ON c.id = r.child_asset_id AND c.workspace_id || '' = r.workspace_id;

    -- A take goes with its shot.
    SELECT array_agg(r.parent_asset_id), array_agg(r.child_asset_id), array_agg(r.workspace_id)
        INTO shots, takes, spaces
        FROM removed r WHERE r.relationship_type = 'generation_attempt'
        AND NOT EXISTS (SELECT FROM assets p WHERE p.id = r.parent_asset_id AND p.workspace_id || '' = r.workspace_id)
        AND EXISTS (SELECT FROM assets c WHERE c.id = r.child_asset_id AND c.workspace_id || '' = r.workspace_id);
    IF takes IS NOT NULL THEN
        DELETE FROM assets a USING unnest(takes, spaces) AS t (take, workspace)
            WHERE a.id = t.take AND a.workspace_id || '' = t.workspace;
        UPDATE deleted_assets d SET deleted_with = t.shot FROM unnest(shots, takes, spaces) AS t (shot, take, workspace)
            WHERE d.id = t.take AND d.workspace_id || '' = t.workspace;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE ON public.asset_relationships
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.shotline_lock();
CREATE TRIGGER b_workspace BEFORE INSERT ON public.asset_relationships FOR EACH ROW
    WHEN (NEW.workspace_id IS NULL) EXECUTE FUNCTION public.shotline_relationship_workspace();
CREATE TRIGGER b_fixed BEFORE UPDATE ON public.asset_relationships FOR EACH ROW
    WHEN (NEW.id <> OLD.id OR NEW.workspace_id <> OLD.workspace_id OR NEW.parent_asset_id <> OLD.parent_asset_id
          OR NEW.child_asset_id <> OLD.child_asset_id OR NEW.relationship_type <> OLD.relationship_type
          OR NEW.created_at <> OLD.created_at
          OR OLD.relationship_type = 'generation_attempt' AND NEW.sequence IS DISTINCT FROM OLD.sequence)
    EXECUTE FUNCTION public.shotline_relationship_fixed();
CREATE TRIGGER d_created AFTER INSERT ON public.asset_relationships REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_relationships_created();
CREATE TRIGGER d_updated AFTER UPDATE ON public.asset_relationships REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_relationships_updated();
CREATE TRIGGER d_deleted AFTER DELETE ON public.asset_relationships REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_relationships_deleted();
