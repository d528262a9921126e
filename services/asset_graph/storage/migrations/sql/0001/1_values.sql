-- Values that the tables are made of: ids, etags, flags.

-- RFC 9562 version 7, with the microsecond in the bits that follow the millisecond: rows of one statement sort as they
-- came.
CREATE FUNCTION public.shotline_uuid7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$
    SELECT (lpad(to_hex(t.us / 1000), 12, '0') || '7' || lpad(to_hex(t.us % 1000 * 4096 / 1000), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
    FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us) t
$$;

-- An id for something that had none of ours: always the same for the same text (RFC 9562 version 8).
CREATE FUNCTION public.shotline_uuid_of(named text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (substr(h, 1, 12) || '8' || substr(h, 14, 3) || 'a' || substr(h, 18, 15))::uuid
    FROM (SELECT encode(sha256(convert_to(named, 'UTF8')), 'hex') AS h) t
$$;

-- Lengths stand before texts, so that no two contents read the same.
CREATE FUNCTION public.shotline_etag(
    type text, name text, url text, duration double precision, generation_cost numeric, metadata jsonb
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT substr(encode(sha256(convert_to(
        type || ' ' || length(name) || ' ' || name
        || coalesce(' u' || length(url) || ' ' || url, ' -')
        || coalesce(' d' || encode(float8send(duration), 'hex'), ' -')
        || coalesce(' c' || generation_cost::text, ' -')
        || ' ' || metadata::text, 'UTF8')), 'hex'), 1, 32)
$$;

-- Whether a take's metadata calls it selected, as the statements of the seeds ask.
CREATE FUNCTION public.shotline_flagged(metadata jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(metadata->>'selected' = 'true', false) $$;

-- Who acts: what the server says, else whoever is logged in.
CREATE FUNCTION public.shotline_actor() RETURNS text
LANGUAGE sql STABLE
AS $$ SELECT coalesce(nullif(current_setting('shotline.actor', true), ''), session_user::text) $$;
