-- Deleted things come back: an asset, the takes that went with it, and every edge that went with one of them and has both
-- ends again. An edge stays away, for good, where it cannot be any more: its child has another parent by now and may have
-- only one (or its parent another child), or it would close a cycle. Of several that exclude one another the one
-- that was deleted last comes back. Where somebody else stands in its place by now, it goes to the end. Of several takes
-- that were selected when they went, each at its time, the one counts that the shot had when it went, else the last.

-- Puts these edges back; those without a place of their own (`displaced`) behind their siblings.
CREATE FUNCTION public.shotline_bring_back(space text, edges uuid[], displaced uuid[]) RETURNS void
LANGUAGE sql SET search_path = public, pg_temp
AS $$
    INSERT INTO asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence,
                                     metadata, created_at)
        SELECT d.id, d.workspace_id, d.parent_asset_id, d.child_asset_id, d.relationship_type,
               CASE WHEN NOT d.id = ANY (displaced) THEN d.sequence END, d.metadata, d.created_at
        FROM deleted_asset_relationships d
        WHERE d.id = ANY (edges) AND d.workspace_id = space
        ORDER BY d.id = ANY (displaced), d.sequence, d.id
$$;
REVOKE ALL ON FUNCTION public.shotline_bring_back(text, uuid[], uuid[]) FROM PUBLIC;

-- Returns how many assets came back; 0 when there is none to bring back, or it is not the caller's.
CREATE FUNCTION public.shotline_undelete(workspace text, asset uuid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    named text := nullif(current_setting('shotline.workspaces', true), '');
    back uuid[];
    edge record;
    away uuid[];
    one uuid;
    was_selected uuid;
BEGIN
    -- It runs with the operator's rights, so the policies do not ask this.
    IF session_user <> current_user AND named IS DISTINCT FROM '*'
        AND NOT workspace = ANY (coalesce(nullif(named, '*')::text[], '{}')) THEN
        RETURN 0;
    END IF;
    PERFORM FROM workspaces WHERE id = workspace FOR NO KEY UPDATE;
    -- Whose id lives again, by somebody's own SQL, cannot come back.
    SELECT array_agg(d.id) INTO back FROM deleted_assets d
        WHERE (d.id = asset OR d.deleted_with = asset AND d.deleted_revision = (
            SELECT s.deleted_revision FROM deleted_assets s WHERE s.id = asset AND s.workspace_id = workspace))
        AND d.workspace_id = workspace
        AND NOT EXISTS (SELECT FROM assets a WHERE a.id = d.id AND a.workspace_id = workspace OFFSET 0);
    IF NOT coalesce(asset = ANY (back), false) THEN
        RETURN 0;
    END IF;
    PERFORM set_config('shotline.undeleting', 'on', true);
    WITH gone AS (
        DELETE FROM deleted_assets d WHERE d.id = ANY (back) AND d.workspace_id = workspace RETURNING d.*
    )
    INSERT INTO assets (id, workspace_id, type, name, url, duration, generation_cost, asset_metadata, created_at,
                        updated_at)
        SELECT g.id, g.workspace_id, g.type, g.name, g.url, g.duration, g.generation_cost, g.asset_metadata,
               g.created_at, g.updated_at
        FROM gone g ORDER BY g.id;
    SELECT d.selected_take_id INTO was_selected FROM deleted_shot_state d
        WHERE d.shot_id = asset AND d.workspace_id = workspace;
    WITH gone AS (
        DELETE FROM deleted_shot_state d WHERE d.shot_id = ANY (back) AND d.workspace_id = workspace RETURNING d.*
    )
    INSERT INTO shot_state (workspace_id, shot_id, last_attempt_number)
        SELECT g.workspace_id, g.shot_id, g.last_attempt_number FROM gone g;

    WITH candidates AS (
        SELECT d.*,
            row_number() OVER (PARTITION BY d.child_asset_id, d.relationship_type
                               ORDER BY d.deleted_revision DESC, d.id DESC) AS of_child,
            row_number() OVER (PARTITION BY d.parent_asset_id, d.relationship_type
                               ORDER BY d.deleted_revision DESC, d.id DESC) AS of_parent,
            row_number() OVER (PARTITION BY d.parent_asset_id, d.child_asset_id, d.relationship_type
                               ORDER BY d.deleted_revision DESC, d.id DESC) AS of_both,
            row_number() OVER (PARTITION BY d.parent_asset_id, d.relationship_type, d.sequence
                               ORDER BY d.deleted_revision DESC, d.id DESC) AS of_place
        FROM deleted_asset_relationships d
        WHERE d.cascaded AND d.workspace_id = workspace
        AND (d.parent_asset_id = ANY (back) OR d.child_asset_id = ANY (back))
        AND EXISTS (SELECT FROM assets p WHERE p.id = d.parent_asset_id AND p.workspace_id = workspace OFFSET 0)
        AND EXISTS (SELECT FROM assets c WHERE c.id = d.child_asset_id AND c.workspace_id = workspace OFFSET 0)
    ), judged AS (
        SELECT c.id, c.parent_asset_id, c.child_asset_id, c.relationship_type, c.deleted_revision,
            c.relationship_type = 'generation_attempt' AS attempt,
            c.relationship_type = 'generation_attempt' AND (
                SELECT shotline_flagged(a.asset_metadata) FROM assets a
                WHERE a.id = c.child_asset_id AND a.workspace_id = workspace) AS flagged,
            c.of_both = 1 AND NOT EXISTS (
                SELECT FROM asset_relationships r WHERE r.parent_asset_id = c.parent_asset_id
                AND r.child_asset_id = c.child_asset_id AND r.relationship_type = c.relationship_type
                AND r.workspace_id = workspace OFFSET 0)
            AND (t.max_parents IS NULL OR c.of_child = 1 AND NOT EXISTS (
                SELECT FROM asset_relationships r WHERE r.child_asset_id = c.child_asset_id
                AND r.relationship_type = c.relationship_type AND r.workspace_id = workspace OFFSET 0))
            AND (t.max_children IS NULL OR c.of_parent = 1 AND NOT EXISTS (
                SELECT FROM asset_relationships r WHERE r.parent_asset_id = c.parent_asset_id
                AND r.relationship_type = c.relationship_type AND r.workspace_id = workspace OFFSET 0)) AS fits,
            c.sequence IS NOT NULL AND (c.of_place > 1 OR EXISTS (
                SELECT FROM asset_relationships r WHERE r.parent_asset_id = c.parent_asset_id
                AND r.relationship_type = c.relationship_type AND r.sequence = c.sequence
                AND r.workspace_id = workspace OFFSET 0)) AS held
        FROM candidates c LEFT JOIN relationship_types t ON t.relationship_type = c.relationship_type
    )
    SELECT coalesce(array_agg(j.id ORDER BY j.id) FILTER (WHERE j.fits), '{}') AS fitting,
           coalesce(array_agg(j.id) FILTER (WHERE NOT j.fits), '{}') AS away,
           coalesce(array_agg(j.id) FILTER (WHERE j.held), '{}') AS displaced,
           array_agg(j.child_asset_id) FILTER (WHERE j.fits AND j.held AND j.attempt) AS renumbered,
           array_agg(j.child_asset_id) FILTER (WHERE j.fits AND j.flagged AND j.rank > 1) AS deselected
        INTO edge
        FROM (
            SELECT q.*, row_number() OVER (
                PARTITION BY q.parent_asset_id, q.fits AND q.flagged
                ORDER BY q.child_asset_id IS NOT DISTINCT FROM was_selected DESC, q.deleted_revision DESC, q.id DESC) AS rank
            FROM judged q) j;
    away := edge.away;
    IF edge.renumbered IS NOT NULL THEN
        UPDATE assets a SET asset_metadata = a.asset_metadata - 'attempt_number'
            WHERE a.id = ANY (edge.renumbered) AND a.workspace_id = workspace;
    END IF;
    IF edge.deselected IS NOT NULL THEN
        UPDATE assets a SET asset_metadata = a.asset_metadata || '{"selected": false}'
            WHERE a.id = ANY (edge.deselected) AND a.workspace_id = workspace;
    END IF;
    BEGIN
        PERFORM shotline_bring_back(workspace, edge.fitting, edge.displaced);
    EXCEPTION WHEN SQLSTATE 'SH001' OR SQLSTATE 'SH002' THEN
        -- One of them closes a cycle (or the rules have changed): which one is found by trying each.
        FOREACH one IN ARRAY edge.fitting LOOP
            BEGIN
                PERFORM shotline_bring_back(workspace, ARRAY[one], edge.displaced);
            EXCEPTION WHEN SQLSTATE 'SH001' OR SQLSTATE 'SH002' THEN
                away := away || one;
            END;
        END LOOP;
    END;
    DELETE FROM deleted_asset_relationships d
        WHERE d.id = ANY (edge.fitting) AND NOT d.id = ANY (away) AND d.workspace_id = workspace;
    UPDATE deleted_asset_relationships d SET cascaded = false WHERE d.id = ANY (away) AND d.workspace_id = workspace;
    PERFORM set_config('shotline.undeleting', '', true);
    RETURN cardinality(back);
END $$;
REVOKE ALL ON FUNCTION public.shotline_undelete(text, uuid) FROM PUBLIC;
