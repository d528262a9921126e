-- The tables. Names of tables and columns that seeds 002 and 004 use are theirs.

CREATE TABLE public.workspaces (
    id text COLLATE "C" PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 200),
    currency text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    -- The number of the last transaction that changed the workspace. This row's lock is what orders changes.
    revision bigint NOT NULL DEFAULT 0,
    revision_xid xid8,
    -- Beside the transaction's id, which a restored backup may meet a second time.
    revised_at timestamptz,
    oldest_revision bigint NOT NULL DEFAULT 1,  -- the first that the log still has
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

INSERT INTO public.workspaces (id) VALUES ('default');

-- Written from the table in the domain by every `shotline migrate`.
CREATE TABLE public.asset_types (
    type text COLLATE "C" PRIMARY KEY,
    aliases text[] NOT NULL DEFAULT '{}'
);

CREATE TABLE public.relationship_types (
    relationship_type text COLLATE "C" PRIMARY KEY,
    ordered boolean NOT NULL,
    family text COLLATE "C",
    max_parents int,
    max_children int
);

CREATE TABLE public.relationship_rules (
    relationship_type text COLLATE "C" NOT NULL REFERENCES public.relationship_types ON DELETE CASCADE,
    parent_type text COLLATE "C" NOT NULL REFERENCES public.asset_types,
    child_type text COLLATE "C" NOT NULL REFERENCES public.asset_types,
    -- A child of this type may itself be a parent in the family: only then can a new edge close a cycle.
    leads_on boolean NOT NULL,
    PRIMARY KEY (relationship_type, parent_type, child_type)
);

CREATE TABLE public.assets (
    id uuid NOT NULL DEFAULT public.shotline_uuid7(),
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    type text COLLATE "C" NOT NULL,  -- `shotline migrate` keeps the CHECK assets_type_known; a foreign key costs more
    name text NOT NULL CONSTRAINT assets_name_size CHECK (octet_length(name) <= 1048576),
    url text CONSTRAINT assets_url_size CHECK (octet_length(url) <= 65536),
    duration double precision CONSTRAINT assets_duration_range CHECK (duration >= 0 AND duration <= 1e9),  -- seconds
    -- In the workspace's currency. NaN counts as larger than every number, so the range refuses it, too.
    generation_cost numeric CONSTRAINT assets_cost_range CHECK (generation_cost >= 0 AND generation_cost < 1e15),
    asset_metadata jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT assets_metadata_object CHECK (jsonb_typeof(asset_metadata) = 'object'),
    etag text COLLATE "C" NOT NULL
        GENERATED ALWAYS AS (public.shotline_etag(type, name, url, duration, generation_cost, asset_metadata)) STORED,
    -- What fits into an index of a name that may be a megabyte long. A column, since row-level security lets an
    -- index be used for comparisons of columns, not for functions of them.
    name_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (left(name, 200)) STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- What readers can say: the years 1 to 9999, and neither infinity.
    CONSTRAINT assets_time_range CHECK (created_at >= '0001-01-02 00:00+00' AND created_at < '9999-12-31 00:00+00'
        AND updated_at >= '0001-01-02 00:00+00' AND updated_at < '9999-12-31 00:00+00')
);

CREATE INDEX assets_by_type_and_time ON public.assets (workspace_id, type, created_at, id);
CREATE INDEX assets_by_time ON public.assets (workspace_id, created_at, id);
CREATE INDEX assets_by_type_and_name ON public.assets (workspace_id, type, name_key, id);
CREATE INDEX assets_by_name ON public.assets (workspace_id, name_key, id);
-- After the others: of indexes that seem equally good, as all do while the table is small, the planner takes the newest.
-- The foreign keys' own lookups keep their plan, and by another index they would go through a whole workspace.
ALTER TABLE public.assets ADD CONSTRAINT assets_pkey PRIMARY KEY (id, workspace_id);

CREATE TABLE public.asset_relationships (
    id uuid NOT NULL DEFAULT public.shotline_uuid7(),
    workspace_id text COLLATE "C" NOT NULL,
    parent_asset_id uuid NOT NULL,
    child_asset_id uuid NOT NULL,
    relationship_type text COLLATE "C" NOT NULL,  -- a trigger compares it and the types of both ends with the rules
    sequence int CONSTRAINT asset_relationships_sequence_range CHECK (sequence >= 1),
    metadata jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT asset_relationships_metadata_object CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now() CONSTRAINT asset_relationships_time_range
        CHECK (created_at >= '0001-01-02 00:00+00' AND created_at < '9999-12-31 00:00+00'),
    CONSTRAINT asset_relationships_pkey PRIMARY KEY (id, workspace_id),
    CONSTRAINT asset_relationships_self CHECK (parent_asset_id <> child_asset_id),
    CONSTRAINT asset_relationships_parent_fkey FOREIGN KEY (parent_asset_id, workspace_id)
        REFERENCES public.assets (id, workspace_id) ON DELETE CASCADE,
    CONSTRAINT asset_relationships_child_fkey FOREIGN KEY (child_asset_id, workspace_id)
        REFERENCES public.assets (id, workspace_id) ON DELETE CASCADE,
    CONSTRAINT asset_relationships_once UNIQUE (parent_asset_id, child_asset_id, relationship_type, workspace_id),
    -- Deferrable, so that a move is one UPDATE in whatever order it meets the rows.
    CONSTRAINT asset_relationships_place UNIQUE (parent_asset_id, relationship_type, sequence, workspace_id)
        DEFERRABLE INITIALLY IMMEDIATE
);

CREATE INDEX asset_relationships_by_child ON public.asset_relationships (child_asset_id, relationship_type, id);

-- What a shot knows of its takes. The pointer is the selection: `selected` in a take's metadata follows it.
CREATE TABLE public.shot_state (
    workspace_id text COLLATE "C" NOT NULL,
    shot_id uuid NOT NULL,
    selected_take_id uuid,
    last_attempt_number int NOT NULL DEFAULT 0,  -- the highest ever given, of deleted takes, too
    relationship_type text COLLATE "C" NOT NULL DEFAULT 'generation_attempt'
        CHECK (relationship_type = 'generation_attempt'),  -- for the foreign key
    CONSTRAINT shot_state_pkey PRIMARY KEY (shot_id, workspace_id),
    CONSTRAINT shot_state_shot_fkey FOREIGN KEY (shot_id, workspace_id)
        REFERENCES public.assets (id, workspace_id) ON DELETE CASCADE,
    CONSTRAINT shot_state_selected_fkey FOREIGN KEY (shot_id, selected_take_id, relationship_type, workspace_id)
        REFERENCES public.asset_relationships (parent_asset_id, child_asset_id, relationship_type, workspace_id)
        ON DELETE SET NULL (selected_take_id)
) WITH (fillfactor = 70);

CREATE TABLE public.selection_history (
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    shot_id uuid NOT NULL,
    revision bigint NOT NULL,
    ordinal bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    take_id uuid,
    previous_take_id uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL DEFAULT public.shotline_actor(),
    request_id uuid DEFAULT nullif(current_setting('shotline.request_id', true), '')::uuid,
    PRIMARY KEY (shot_id, revision, ordinal, workspace_id)
);

-- One row for each statement that changed something (one for every 1,000 items of a large one).
CREATE TABLE public.change_log (
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    revision bigint NOT NULL,
    ordinal bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    entity text COLLATE "C" NOT NULL CHECK (entity IN ('asset', 'relationship', 'selection')),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('created', 'updated', 'deleted', 'moved')),
    items jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL DEFAULT public.shotline_actor(),
    client text NOT NULL DEFAULT coalesce(current_setting('shotline.client', true), ''),
    request_id uuid DEFAULT nullif(current_setting('shotline.request_id', true), '')::uuid,
    PRIMARY KEY (workspace_id, revision, ordinal)
);

CREATE INDEX change_log_by_time ON public.change_log (workspace_id, created_at);

CREATE TABLE public.request_log (
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    request_id uuid NOT NULL,
    digest bytea NOT NULL,
    answer bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (workspace_id, request_id)
);

CREATE INDEX request_log_by_time ON public.request_log (workspace_id, created_at);

-- What was deleted, as it was. The live tables hold only what lives.
CREATE TABLE public.deleted_assets (
    id uuid NOT NULL,
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    type text COLLATE "C" NOT NULL,
    name text NOT NULL,
    url text,
    duration double precision,
    generation_cost numeric,
    asset_metadata jsonb NOT NULL,
    etag text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_with uuid,  -- the shot in whose deletion a take went
    deleted_revision bigint NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_by text NOT NULL DEFAULT public.shotline_actor(),
    PRIMARY KEY (id, workspace_id)
);

CREATE INDEX deleted_assets_by_time ON public.deleted_assets (workspace_id, deleted_at, id);
CREATE INDEX deleted_assets_together ON public.deleted_assets (deleted_with) WHERE deleted_with IS NOT NULL;

CREATE TABLE public.deleted_shot_state (
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    shot_id uuid NOT NULL,
    last_attempt_number int NOT NULL,
    selected_take_id uuid,  -- when the shot went
    PRIMARY KEY (shot_id, workspace_id)
);

CREATE TABLE public.deleted_asset_relationships (
    id uuid NOT NULL,
    workspace_id text COLLATE "C" NOT NULL REFERENCES public.workspaces,
    parent_asset_id uuid NOT NULL,
    child_asset_id uuid NOT NULL,
    relationship_type text COLLATE "C" NOT NULL,
    sequence int,
    metadata jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    cascaded boolean NOT NULL,  -- went with one of its ends and comes back with it; not, once it could not come back
    deleted_revision bigint NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deleted_by text NOT NULL DEFAULT public.shotline_actor(),
    PRIMARY KEY (id, workspace_id)
);

CREATE INDEX deleted_asset_relationships_by_parent
    ON public.deleted_asset_relationships (parent_asset_id, relationship_type);
CREATE INDEX deleted_asset_relationships_by_child
    ON public.deleted_asset_relationships (child_asset_id, relationship_type);
