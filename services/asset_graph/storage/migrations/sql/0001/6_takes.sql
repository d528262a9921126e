-- Attempt numbers and selection. `shot_state.selected_take_id` is the selection; whoever writes `selected` into the
-- metadata of a take asks for a selection, and what stands there afterwards is what the pointer says.

-- Of these takes: an attempt number in the metadata is that of the edge; where there is none, it is written.
CREATE FUNCTION public.shotline_take_numbers(space text, takes uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    lacking uuid[];
    wrong jsonb;
BEGIN
    SELECT array_agg(t.take) FILTER (WHERE coalesce(a.said, 'null') = 'null'),
           (array_agg(jsonb_build_object(
               'shot', e.shot, 'take', t.take, 'sequence', e.sequence, 'attempt_number', a.said))
            FILTER (WHERE a.said NOT IN ('null', to_jsonb(e.sequence))))[1]
        INTO lacking, wrong
        FROM unnest(takes) AS t (take)
        CROSS JOIN LATERAL (
            SELECT r.parent_asset_id AS shot, r.sequence FROM asset_relationships r
            WHERE r.child_asset_id = t.take AND r.relationship_type = 'generation_attempt' AND r.workspace_id = space
            LIMIT 1) e
        CROSS JOIN LATERAL (
            SELECT x.asset_metadata->'attempt_number' AS said FROM assets x
            WHERE x.id = t.take AND x.workspace_id = space LIMIT 1) a;
    IF wrong IS NOT NULL THEN
        PERFORM shotline_refuse('SH003', format('take %s is attempt %s, not %s',
            wrong->>'take', wrong->>'sequence', wrong->>'attempt_number'), wrong);
    END IF;
    IF lacking IS NOT NULL THEN
        UPDATE assets a SET asset_metadata = a.asset_metadata || jsonb_build_object('attempt_number', (
                SELECT r.sequence FROM asset_relationships r
                WHERE r.child_asset_id = a.id AND r.relationship_type = 'generation_attempt' AND r.workspace_id = space))
            WHERE a.id = ANY (lacking) AND a.workspace_id = space;
    END IF;
END $$;
REVOKE ALL ON FUNCTION public.shotline_take_numbers(text, uuid[]) FROM PUBLIC;

-- Which of these takes have a flag that says something else than their shot's pointer.
CREATE FUNCTION public.shotline_takes_differing(space text, takes uuid[])
RETURNS TABLE (shot uuid, take uuid, selected uuid)
LANGUAGE sql STABLE
AS $$
    SELECT s.shot_id, t.take, s.selected_take_id
    FROM unnest(takes) AS t (take)
    CROSS JOIN LATERAL (
        SELECT r.parent_asset_id AS shot FROM public.asset_relationships r
        WHERE r.child_asset_id = t.take AND r.relationship_type = 'generation_attempt' AND r.workspace_id = space
        LIMIT 1) e
    CROSS JOIN LATERAL (
        SELECT x.shot_id, x.selected_take_id FROM public.shot_state x
        WHERE x.shot_id = e.shot AND x.workspace_id = space LIMIT 1) s
    CROSS JOIN LATERAL (
        SELECT public.shotline_flagged(x.asset_metadata) AS flagged FROM public.assets x
        WHERE x.id = t.take AND x.workspace_id = space LIMIT 1) a
    WHERE a.flagged <> coalesce(s.selected_take_id = t.take, false)
$$;

-- Of these takes: where the flag and the pointer differ, the flag was just written, and the pointer follows it. While
-- something is undeleted a pointer that is set wins: a take that comes back does not take the selection from another.
CREATE FUNCTION public.shotline_take_flags(space text, takes uuid[]) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    undeleting boolean := coalesce(current_setting('shotline.undeleting', true) = 'on', false);
    denied uuid[];
    wish record;
BEGIN
    IF undeleting THEN
        SELECT array_agg(d.take) INTO denied FROM shotline_takes_differing(space, takes) d WHERE d.selected IS NOT NULL;
        UPDATE assets
            SET asset_metadata = asset_metadata || jsonb_build_object('selected', NOT shotline_flagged(asset_metadata))
            WHERE id = ANY (denied) AND workspace_id = space;
    END IF;
    -- By shot: which take asks to be selected; none where only the selected one gave up its flag.
    SELECT array_agg(w.shot) AS shots, array_agg(w.wanted[1]) AS takes,
           (array_agg(jsonb_build_object('shot', w.shot, 'takes', w.wanted))
            FILTER (WHERE cardinality(w.wanted) > 1))[1] AS torn
        INTO wish
        FROM (
            SELECT d.shot, array_agg(d.take ORDER BY d.take) FILTER (WHERE d.selected IS DISTINCT FROM d.take) AS wanted
            FROM shotline_takes_differing(space, takes) d
            GROUP BY d.shot) w;
    IF wish.torn IS NOT NULL THEN
        PERFORM shotline_refuse('SH004', format('shot %s can have one selected take', wish.torn->>'shot'), wish.torn);
    END IF;
    IF wish.shots IS NOT NULL THEN
        UPDATE shot_state s SET selected_take_id = t.take FROM unnest(wish.shots, wish.takes) AS t (shot, take)
            WHERE s.shot_id = t.shot AND s.shot_id = ANY (wish.shots) AND s.workspace_id = space;
    END IF;
END $$;
REVOKE ALL ON FUNCTION public.shotline_take_flags(text, uuid[]) FROM PUBLIC;

CREATE FUNCTION public.shotline_takes_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
DECLARE
    changed record;
BEGIN
    FOR changed IN
        SELECT workspace_id AS space, array_agg(id) AS takes FROM after WHERE type = 'shot_take' GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM shotline_take_numbers(changed.space, changed.takes);
        PERFORM shotline_take_flags(changed.space, changed.takes);
    END LOOP;
    RETURN NULL;
END $$;

-- The pointers of shots moved: it is history, it is told, and the flags follow.
CREATE FUNCTION public.shotline_selected() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET enable_nestloop = off SET enable_hashjoin = on SET enable_seqscan = off
AS $$
DECLARE
    moved record;
    now_at bigint;
BEGIN
    FOR moved IN
        SELECT a.workspace_id AS space, array_agg(a.shot_id) AS shots, array_agg(a.selected_take_id) AS takes,
               array_agg(b.selected_take_id) AS previous
            FROM after a JOIN before b ON b.shot_id = a.shot_id AND b.workspace_id = a.workspace_id
            WHERE a.selected_take_id IS DISTINCT FROM b.selected_take_id
            GROUP BY 1 ORDER BY 1
    LOOP
        now_at := shotline_next_revision(moved.space);
        INSERT INTO change_log (workspace_id, revision, entity, kind, items)
            SELECT moved.space, now_at, 'selection', 'updated', jsonb_agg(
                jsonb_build_object('shot', m.shot, 'take', m.take, 'previous', m.was) ORDER BY m.place)
            FROM unnest(moved.shots, moved.takes, moved.previous) WITH ORDINALITY AS m (shot, take, was, place)
            GROUP BY (m.place - 1) / 1000 ORDER BY (m.place - 1) / 1000;
        INSERT INTO selection_history (workspace_id, shot_id, revision, take_id, previous_take_id)
            SELECT moved.space, m.shot, now_at, m.take, m.was
            FROM unnest(moved.shots, moved.takes, moved.previous) AS m (shot, take, was);
        UPDATE assets a SET asset_metadata = a.asset_metadata || 
                jsonb_build_object('selected', coalesce(a.id = ANY (moved.takes), false))
            WHERE a.id = ANY (array_remove(moved.takes || moved.previous, NULL)) AND a.workspace_id = moved.space
            AND shotline_flagged(a.asset_metadata) <> coalesce(a.id = ANY (moved.takes), false);
    END LOOP;
    RETURN NULL;
END $$;

-- A deleted shot's last number and selection, for the case that it comes back.
CREATE FUNCTION public.shotline_shot_state_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    INSERT INTO deleted_shot_state (workspace_id, shot_id, last_attempt_number, selected_take_id)
        SELECT workspace_id, shot_id, last_attempt_number, selected_take_id FROM removed
        ON CONFLICT (shot_id, workspace_id) DO UPDATE SET
            (last_attempt_number, selected_take_id) = (excluded.last_attempt_number, excluded.selected_take_id);
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
