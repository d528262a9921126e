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

-- A writer who names no workspace means that of the parent. With the caller's own rights: what it may not see is not
-- there.
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

-- Among which relationships it may close no cycle.
CREATE FUNCTION public.shotline_family(kind text) RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT t.family FROM public.relationship_types t WHERE t.relationship_type = kind $$;

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
            FROM asset_relationships r
            WHERE r.parent_asset_id = ANY (frontier) AND r.workspace_id = workspace
            AND shotline_family(r.relationship_type) = family
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

-- About plans. Triggers keep theirs, whether it was made for one row or a thousand, or while a table was empty. So rows
-- are looked up in subqueries that can only be asked once for each (LATERAL with a LIMIT, EXISTS with an OFFSET), by
-- index (enable_seqscan). Where sets are joined it is by hash.
CREATE FUNCTION public.shotline_relationships_created() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    all_right boolean;
    leading_on boolean;
    takes boolean;
    bad record;
    added_takes record;
BEGIN
    SELECT bool_and(n.leads_on IS NOT NULL), bool_or(n.leads_on), bool_or(n.relationship_type = 'generation_attempt')
        INTO all_right, leading_on, takes
        FROM (
            SELECT e.relationship_type, (
                SELECT u.leads_on FROM relationship_rules u WHERE u.relationship_type = e.relationship_type
                AND u.parent_type = (
                    SELECT p.type FROM assets p WHERE p.id = e.parent_asset_id AND p.workspace_id = e.workspace_id)
                AND u.child_type = (
                    SELECT c.type FROM assets c WHERE c.id = e.child_asset_id AND c.workspace_id = e.workspace_id)
                ) AS leads_on
            FROM added e) n;

    IF NOT all_right THEN
        SELECT n.* INTO bad
            FROM (
                SELECT e.*, (SELECT p.type FROM assets p
                             WHERE p.id = e.parent_asset_id AND p.workspace_id = e.workspace_id) AS parent_type,
                            (SELECT c.type FROM assets c
                             WHERE c.id = e.child_asset_id AND c.workspace_id = e.workspace_id) AS child_type
                FROM added e) n
            WHERE NOT EXISTS (
                SELECT FROM relationship_rules u WHERE u.relationship_type = n.relationship_type
                AND u.parent_type = n.parent_type AND u.child_type = n.child_type OFFSET 0)
            ORDER BY n.id LIMIT 1;
        PERFORM shotline_refuse('SH001',
            format('%s cannot join a %s to a %s', bad.relationship_type, bad.parent_type, bad.child_type),
            jsonb_build_object('relationship_type', bad.relationship_type, 'parent', bad.parent_asset_id,
                'parent_type', bad.parent_type, 'child', bad.child_asset_id, 'child_type', bad.child_type));
    END IF;

    IF leading_on THEN
        -- A cycle goes through an edge whose child leads on and to whose parent something leads.
        WITH RECURSIVE edges AS (
            SELECT DISTINCT n.family, n.workspace_id, n.parent, n.child
            FROM (
                SELECT e.workspace_id, e.parent_asset_id AS parent, e.child_asset_id AS child, shotline_family(
                    e.relationship_type) AS family
                FROM added e OFFSET 0) n
            WHERE n.family IS NOT NULL
            AND EXISTS (
                SELECT FROM asset_relationships r WHERE r.child_asset_id = n.parent AND r.workspace_id = n.workspace_id
                AND shotline_family(r.relationship_type) = n.family OFFSET 0)
            AND EXISTS (
                SELECT FROM asset_relationships r WHERE r.parent_asset_id = n.child AND r.workspace_id = n.workspace_id
                AND shotline_family(r.relationship_type) = n.family OFFSET 0)
        ), reached AS (
            SELECT DISTINCT family, workspace_id, child AS origin, child AS node FROM edges
            UNION
            SELECT h.family, h.workspace_id, h.origin, d.node
            FROM reached h
            CROSS JOIN LATERAL (
                SELECT r.child_asset_id AS node FROM asset_relationships r
                WHERE r.parent_asset_id = h.node AND r.workspace_id = h.workspace_id
                AND shotline_family(r.relationship_type) = h.family OFFSET 0) d
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
        INSERT INTO shot_state AS s (workspace_id, shot_id, last_attempt_number)
            SELECT n.workspace_id, n.parent_asset_id, max(n.sequence) FROM added n
            WHERE n.relationship_type = 'generation_attempt'
            GROUP BY n.workspace_id, n.parent_asset_id ORDER BY n.workspace_id, n.parent_asset_id
            ON CONFLICT (shot_id, workspace_id) DO UPDATE
            SET last_attempt_number = greatest(s.last_attempt_number, excluded.last_attempt_number);
        FOR added_takes IN
            SELECT n.workspace_id AS space, array_agg(n.child_asset_id) AS takes FROM added n
            WHERE n.relationship_type = 'generation_attempt' GROUP BY 1 ORDER BY 1
        LOOP
            PERFORM shotline_take_numbers(added_takes.space, added_takes.takes);
            PERFORM shotline_take_flags(added_takes.space, added_takes.takes);
        END LOOP;
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
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    gone record;
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace_id, shotline_next_revision(c.workspace_id), 'relationship', 'deleted', c.items FROM (
        SELECT n.workspace_id, jsonb_agg(shotline_relationship_item(
            n.id, n.parent_asset_id, n.child_asset_id, n.relationship_type, n.sequence) ORDER BY n.place) AS items
        FROM (SELECT *, row_number() OVER (PARTITION BY workspace_id ORDER BY id) - 1 AS place FROM removed) n
        GROUP BY n.workspace_id, n.place / 1000 ORDER BY n.workspace_id, n.place / 1000) c;
    INSERT INTO deleted_asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type,
                                             sequence, metadata, created_at, cascaded, deleted_revision)
    SELECT r.id, r.workspace_id, r.parent_asset_id, r.child_asset_id, r.relationship_type, r.sequence, r.metadata,
           r.created_at,
           NOT EXISTS (
               SELECT FROM assets p WHERE p.id = r.parent_asset_id AND p.workspace_id = r.workspace_id OFFSET 0)
           OR NOT EXISTS (
               SELECT FROM assets c WHERE c.id = r.child_asset_id AND c.workspace_id = r.workspace_id OFFSET 0),
           (SELECT w.revision FROM workspaces w WHERE w.id = r.workspace_id)
    FROM removed r
    ON CONFLICT (id, workspace_id) DO UPDATE SET
        (parent_asset_id, child_asset_id, relationship_type, sequence, metadata, created_at, cascaded,
         deleted_revision, deleted_at, deleted_by)
        = (excluded.parent_asset_id, excluded.child_asset_id, excluded.relationship_type, excluded.sequence,
           excluded.metadata, excluded.created_at, excluded.cascaded,
           excluded.deleted_revision, excluded.deleted_at, excluded.deleted_by);

    -- A take goes with its shot.
    FOR gone IN
        SELECT r.workspace_id AS space, array_agg(r.parent_asset_id) AS shots, array_agg(r.child_asset_id) AS takes
            FROM removed r WHERE r.relationship_type = 'generation_attempt'
            AND NOT EXISTS (
                SELECT FROM assets p WHERE p.id = r.parent_asset_id AND p.workspace_id = r.workspace_id OFFSET 0)
            AND EXISTS (
                SELECT FROM assets c WHERE c.id = r.child_asset_id AND c.workspace_id = r.workspace_id OFFSET 0)
            GROUP BY 1 ORDER BY 1
    LOOP
        DELETE FROM assets a WHERE a.id = ANY (gone.takes) AND a.workspace_id = gone.space;
        UPDATE deleted_assets d SET deleted_with = t.shot FROM unnest(gone.shots, gone.takes) AS t (shot, take)
            WHERE d.id = t.take AND d.id = ANY (gone.takes) AND d.workspace_id = gone.space;
    END LOOP;
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
