-- Attempt numbers and selection. `shot_state.selected_take_id` is the selection; whoever writes `selected` into the metadata
-- of a take asks for a selection, and what stands there afterwards is what the pointer says.

-- Of these takes: an attempt number in the metadata is that of the edge; where there is none, it is written.
CREATE FUNCTION public.shotline_take_numbers(takes uuid[], spaces text[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    bad record;
BEGIN
    SELECT e.parent_asset_id AS shot, a.id AS take, a.asset_metadata->'attempt_number' AS said, e.sequence INTO bad
        FROM unnest(takes, spaces) AS t (take, workspace)
        JOIN asset_relationships e ON e.child_asset_id = t.take AND e.relationship_type = 'generation_attempt'
            AND e.workspace_id = t.workspace
        JOIN assets a ON a.id = t.take AND a.workspace_id || '' = t.workspace
        WHERE a.asset_metadata->'attempt_number' NOT IN ('null', to_jsonb(e.sequence))
        LIMIT 1;
    IF FOUND THEN
        PERFORM shotline_refuse('SH003', format('take %s is attempt %s, not %s', bad.take, bad.sequence, bad.said),
            jsonb_build_object('shot', bad.shot, 'take', bad.take, 'sequence', bad.sequence, 'attempt_number', bad.said));
    END IF;
    UPDATE assets a SET asset_metadata = a.asset_metadata || jsonb_build_object('attempt_number', e.sequence)
        FROM unnest(takes, spaces) AS t (take, workspace)
        JOIN asset_relationships e ON e.child_asset_id = t.take AND e.relationship_type = 'generation_attempt'
            AND e.workspace_id = t.workspace
        WHERE a.id = t.take AND a.workspace_id || '' = t.workspace
        AND coalesce(a.asset_metadata->'attempt_number', 'null') = 'null';
END $$;
REVOKE ALL ON FUNCTION public.shotline_take_numbers(uuid[], text[]) FROM PUBLIC;

-- Of these takes: where the flag and the pointer differ, the flag was just written, and the pointer follows it. While
-- something is undeleted the pointer wins: a take that comes back does not take the selection from another.
CREATE FUNCTION public.shotline_take_flags(takes uuid[], spaces text[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    wish record;
BEGIN
    -- Of each shot: what is selected, and which takes ask to be instead; none where only the selected one gave up its flag.
    SELECT array_agg(w.shot_id) AS shots, array_agg(w.workspace_id) AS spaces, array_agg(w.wanted[1]) AS wanted,
           max(w.shot_id::text) FILTER (WHERE cardinality(w.wanted) > 1) AS torn,
           (array_agg(to_jsonb(w.wanted)) FILTER (WHERE cardinality(w.wanted) > 1))[1] AS between
        INTO wish
        FROM (
            SELECT s.workspace_id, s.shot_id,
                   array_agg(a.id ORDER BY a.id) FILTER (WHERE s.selected_take_id IS DISTINCT FROM a.id) AS wanted
            FROM unnest(takes, spaces) AS t (take, workspace)
            JOIN asset_relationships e ON e.child_asset_id = t.take AND e.relationship_type = 'generation_attempt'
                AND e.workspace_id = t.workspace
            JOIN shot_state s ON s.shot_id = e.parent_asset_id AND s.workspace_id = t.workspace
            JOIN assets a ON a.id = t.take AND a.workspace_id || '' = t.workspace
            WHERE shotline_flagged(a.asset_metadata) <> coalesce(s.selected_take_id = a.id, false)
            GROUP BY s.workspace_id, s.shot_id
            ORDER BY s.workspace_id, s.shot_id) w;
    IF wish.shots IS NULL THEN
        RETURN;
    END IF;
    IF wish.torn IS NOT NULL THEN
        PERFORM shotline_refuse('SH004', format('shot %s can have one selected take', wish.torn),
            jsonb_build_object('shot', wish.torn, 'takes', wish.between));
    END IF;
    IF current_setting('shotline.undeleting', true) = 'on' THEN
        UPDATE assets a SET asset_metadata = a.asset_metadata || '{"selected": false}'
            FROM unnest(wish.shots, wish.spaces, wish.wanted) AS t (shot, workspace, take)
            JOIN shot_state s ON s.shot_id = t.shot AND s.workspace_id = t.workspace
            WHERE a.id = t.take AND a.workspace_id || '' = t.workspace AND s.selected_take_id IS NOT NULL;
        UPDATE shot_state s SET selected_take_id = t.take
            FROM unnest(wish.shots, wish.spaces, wish.wanted) AS t (shot, workspace, take)
            WHERE s.shot_id = t.shot AND s.workspace_id = t.workspace AND s.selected_take_id IS NULL;
    ELSE
        UPDATE shot_state s SET selected_take_id = t.take
            FROM unnest(wish.shots, wish.spaces, wish.wanted) AS t (shot, workspace, take)
            WHERE s.shot_id = t.shot AND s.workspace_id = t.workspace;
    END IF;
END $$;
REVOKE ALL ON FUNCTION public.shotline_take_flags(uuid[], text[]) FROM PUBLIC;

CREATE FUNCTION public.shotline_takes_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    takes uuid[];
    spaces text[];
BEGIN
    SELECT array_agg(id), array_agg(workspace_id) INTO takes, spaces FROM after WHERE type = 'shot_take';
    IF takes IS NOT NULL THEN
        PERFORM shotline_take_numbers(takes, spaces);
        PERFORM shotline_take_flags(takes, spaces);
    END IF;
    RETURN NULL;
END $$;

-- The pointers of these shots moved: it is history, it is told, and the flags follow.
CREATE FUNCTION public.shotline_selection_moved(shots uuid[], spaces text[], takes uuid[], previous uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
BEGIN
    INSERT INTO change_log (workspace_id, revision, entity, kind, items)
    SELECT c.workspace, shotline_next_revision(c.workspace), 'selection', 'updated', c.items FROM (
        SELECT n.workspace, jsonb_agg(jsonb_build_object('shot', n.shot, 'take', n.take, 'previous', n.was)
                                      ORDER BY n.place) AS items
        FROM (SELECT m.*, row_number() OVER (PARTITION BY m.workspace ORDER BY m.shot) - 1 AS place
              FROM unnest(shots, spaces, takes, previous) AS m (shot, workspace, take, was)) n
        GROUP BY n.workspace, n.place / 1000 ORDER BY n.workspace, n.place / 1000) c;
    INSERT INTO selection_history (workspace_id, shot_id, revision, take_id, previous_take_id)
        SELECT m.workspace, m.shot, w.revision, m.take, m.was
        FROM unnest(shots, spaces, takes, previous) AS m (shot, workspace, take, was)
        JOIN workspaces w ON w.id = m.workspace;
    UPDATE assets a SET asset_metadata = a.asset_metadata || jsonb_build_object('selected', m.now)
        FROM (SELECT take, workspace, true AS now FROM unnest(takes, spaces) AS t (take, workspace)
              UNION ALL
              SELECT was, workspace, false FROM unnest(previous, spaces) AS t (was, workspace)) m
        WHERE a.id = m.take AND a.workspace_id || '' = m.workspace AND shotline_flagged(a.asset_metadata) <> m.now;
END $$;
REVOKE ALL ON FUNCTION public.shotline_selection_moved(uuid[], text[], uuid[], uuid[]) FROM PUBLIC;

CREATE FUNCTION public.shotline_selected() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on
AS $$
DECLARE
    moved record;
BEGIN
    SELECT array_agg(a.shot_id) AS shots, array_agg(a.workspace_id) AS spaces, array_agg(a.selected_take_id) AS takes,
           array_agg(b.selected_take_id) AS previous
        INTO moved
        FROM after a JOIN before b ON b.shot_id = a.shot_id AND b.workspace_id = a.workspace_id
        WHERE a.selected_take_id IS DISTINCT FROM b.selected_take_id;
    IF moved.shots IS NOT NULL THEN
        PERFORM shotline_selection_moved(moved.shots, moved.spaces, moved.takes, moved.previous);
    END IF;
    RETURN NULL;
END $$;

-- A deleted shot's last number, for the case that it comes back.
CREATE FUNCTION public.shotline_shot_state_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO deleted_shot_state (workspace_id, shot_id, last_attempt_number)
        SELECT workspace_id, shot_id, last_attempt_number FROM removed;
    RETURN NULL;
END $$;

CREATE TRIGGER e_takes AFTER UPDATE ON public.assets REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_takes_updated();
CREATE TRIGGER a_lock BEFORE INSERT OR UPDATE OR DELETE ON public.shot_state
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION public.shotline_lock();
CREATE TRIGGER d_selected AFTER UPDATE ON public.shot_state REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_selected();
CREATE TRIGGER d_deleted AFTER DELETE ON public.shot_state REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION public.shotline_shot_state_deleted();
