-- Brings back an asset, the takes that went with it, and every edge that went with one of them and has both ends again.
-- Returns how many assets came back; 0 when there is none to bring back, or it is not the caller's.
CREATE FUNCTION public.shotline_undelete(workspace text, asset uuid) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    back uuid[];
    named text := nullif(current_setting('shotline.workspaces', true), '');
BEGIN
    -- It runs with the operator's rights, so the policies do not ask this.
    IF session_user <> current_user AND named IS DISTINCT FROM '*'
        AND NOT workspace = ANY (coalesce(nullif(named, '*')::text[], '{}')) THEN
        RETURN 0;
    END IF;
    PERFORM FROM workspaces WHERE id = workspace FOR NO KEY UPDATE;
    SELECT array_agg(d.id) INTO back FROM deleted_assets d
        WHERE (d.id = asset OR d.deleted_with = asset
               AND EXISTS (SELECT FROM deleted_assets s WHERE s.id = asset AND s.workspace_id || '' = workspace))
        AND d.workspace_id = workspace;
    IF back IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM set_config('shotline.undeleting', 'on', true);
    WITH gone AS (
        DELETE FROM deleted_assets d WHERE d.id = ANY (back) AND d.workspace_id || '' = workspace RETURNING d.*
    )
    INSERT INTO assets (id, workspace_id, type, name, url, duration, generation_cost, asset_metadata, created_at,
                        updated_at)
        SELECT g.id, g.workspace_id, g.type, g.name, g.url, g.duration, g.generation_cost, g.asset_metadata,
               g.created_at, g.updated_at
        FROM gone g ORDER BY g.id;
    WITH gone AS (
        DELETE FROM deleted_shot_state d WHERE d.shot_id = ANY (back) AND d.workspace_id = workspace RETURNING d.*
    )
    INSERT INTO shot_state (workspace_id, shot_id, last_attempt_number)
        SELECT g.workspace_id, g.shot_id, g.last_attempt_number FROM gone g;
    WITH gone AS (
        DELETE FROM deleted_asset_relationships d
            WHERE d.cascaded AND d.workspace_id = workspace
            AND (d.parent_asset_id = ANY (back) OR d.child_asset_id = ANY (back))
            AND EXISTS (SELECT FROM assets p WHERE p.id = d.parent_asset_id AND p.workspace_id || '' = workspace OFFSET 0)
            AND EXISTS (SELECT FROM assets c WHERE c.id = d.child_asset_id AND c.workspace_id || '' = workspace OFFSET 0)
            RETURNING d.*
    ), placed AS (
        -- Somebody else may stand in its place by now; then it goes to the end.
        SELECT g.*, EXISTS (
            SELECT FROM asset_relationships r WHERE r.parent_asset_id = g.parent_asset_id
            AND r.relationship_type = g.relationship_type AND r.sequence = g.sequence
            AND r.workspace_id = workspace OFFSET 0) AS held
        FROM gone g
    )
    INSERT INTO asset_relationships (id, workspace_id, parent_asset_id, child_asset_id, relationship_type, sequence,
                                     metadata, created_at)
        SELECT p.id, p.workspace_id, p.parent_asset_id, p.child_asset_id, p.relationship_type,
               CASE WHEN NOT p.held THEN p.sequence END, p.metadata, p.created_at
        FROM placed p ORDER BY p.held, p.sequence, p.id;
    PERFORM set_config('shotline.undeleting', '', true);
    RETURN cardinality(back);
END $$;
REVOKE ALL ON FUNCTION public.shotline_undelete(text, uuid) FROM PUBLIC;
