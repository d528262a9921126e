-- Attempt numbers and selection. `shot_state.selected_take_id` is the selection; whoever writes `selected` into the metadata
-- of a take asks for a selection, and what stands there afterwards is what the pointer says.

-- Of these takes: an attempt number in the metadata is that of the edge; where there is none, it is written.
CREATE FUNCTION public.shotline_take_numbers(takes uuid[], spaces text[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
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
AS $$
DECLARE
    wish record;
BEGIN
    FOR wish IN
        SELECT s.workspace_id, s.shot_id, s.selected_take_id,
               array_agg(a.id ORDER BY a.id) FILTER (WHERE s.selected_take_id IS DISTINCT FROM a.id) AS wanted
            FROM unnest(takes, spaces) AS t (take, workspace)
            JOIN asset_relationships e ON e.child_asset_id = t.take AND e.relationship_type = 'generation_attempt'
                AND e.workspace_id = t.workspace
            JOIN shot_state s ON s.shot_id = e.parent_asset_id AND s.workspace_id = t.workspace
            JOIN assets a ON a.id = t.take AND a.workspace_id || '' = t.workspace
            WHERE shotline_flagged(a.asset_metadata) <> coalesce(s.selected_take_id = a.id, false)
            GROUP BY s.workspace_id, s.shot_id, s.selected_take_id
            ORDER BY s.workspace_id, s.shot_id
    LOOP
        IF wish.selected_take_id IS NOT NULL AND current_setting('shotline.undeleting', true) = 'on' THEN
            UPDATE assets SET asset_metadata = asset_metadata || '{"selected": false}'
                WHERE id = ANY (wish.wanted) AND workspace_id || '' = wish.workspace_id;
            CONTINUE;
        END IF;
        IF cardinality(wish.wanted) > 1 THEN
            PERFORM shotline_refuse('SH004', format('shot %s can have one selected take', wish.shot_id),
                jsonb_build_object('shot', wish.shot_id, 'takes', to_jsonb(wish.wanted)));
        END IF;
        UPDATE shot_state SET selected_take_id = wish.wanted[1]
            WHERE shot_id = wish.shot_id AND workspace_id = wish.workspace_id;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION public.shotline_take_flags(uuid[], text[]) FROM PUBLIC;

CREATE FUNCTION public.shotline_takes_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
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

-- The pointer moved: it is history, it is told, and the flags follow.
CREATE FUNCTION public.shotline_selected() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    moved record;
BEGIN
    FOR moved IN
        SELECT a.workspace_id, a.shot_id, a.selected_take_id AS take, b.selected_take_id AS previous
            FROM after a JOIN before b ON b.shot_id = a.shot_id AND b.workspace_id = a.workspace_id
            WHERE a.selected_take_id IS DISTINCT FROM b.selected_take_id
            ORDER BY a.workspace_id, a.shot_id
    LOOP
        INSERT INTO selection_history (workspace_id, shot_id, revision, take_id, previous_take_id)
            VALUES (moved.workspace_id, moved.shot_id, shotline_next_revision(moved.workspace_id), moved.take, moved.previous);
        INSERT INTO change_log (workspace_id, revision, entity, kind, items)
            VALUES (moved.workspace_id, shotline_next_revision(moved.workspace_id), 'selection', 'updated', jsonb_build_array(
                jsonb_build_object('shot', moved.shot_id, 'take', moved.take, 'previous', moved.previous)));
        UPDATE assets
            SET asset_metadata = asset_metadata || jsonb_build_object('selected', id IS NOT DISTINCT FROM moved.take)
            WHERE id IN (moved.take, moved.previous) AND workspace_id || '' = moved.workspace_id
            AND shotline_flagged(asset_metadata) <> (id IS NOT DISTINCT FROM moved.take);
    END LOOP;
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
