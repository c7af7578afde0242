#include "crypto/tuf.h"

#include "tests/support/tuf_repo.h"

#define REPO_BASIC "2.root timestamp 1.snapshot 1.targets "

static int repo_setup(void **state)
{
    *state = repo_new();
    return 0;
}

static int repo_teardown(void **state)
{
    repo_free(*state);
    return 0;
}

/* ---- refresh ---- */

static void tuf_refresh_new_repository_fetched_in_order(void **state)
{
    struct repo *repo = *state;

    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_string_equal(repo->log, REPO_BASIC);
    assert_string_equal(repo_text(repo->state, "timestamp.json"),
                        repo_text(repo->files, "timestamp.json"));
    assert_string_equal(repo_text(repo->state, "targets.json"),
                        repo_text(repo->files, "1.targets.json"));
}

static void tuf_refresh_nothing_new_only_timestamp_fetched(void **state)
{
    struct repo *repo = *state;

    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_string_equal(repo->log, "2.root timestamp ");
}

static void tuf_refresh_without_root_missing(void **state)
{
    struct repo *repo = *state;

    json_object_clear(repo->state);
    assert_int_equal(repo_refresh(repo), GH_TRUST_ROOT_MISSING);
    assert_string_equal(repo->log, "");
}

static void tuf_refresh_unsigned_initial_root_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_ROOT].signers[0] = 5;
    repo_publish(repo, TUF_ROOT);
    json_object_set(repo->state, "root.json", json_object_get(repo->files, "1.root.json"));
    assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
    assert_string_equal(repo->log, "");
}

static void tuf_refresh_inconsistent_repository_plain_names(void **state)
{
    struct repo *repo = *state;

    repo->is_consistent = false;
    repo->roles[TUF_ROOT].version = 2;
    repo_publish(repo, TUF_ROOT);
    repo_update(repo);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_string_equal(repo->log, "2.root 3.root timestamp snapshot targets ");
}

static void tuf_refresh_unsigned_role_refused_earlier_kept(void **state)
{
    for (int type = TUF_ROOT; type <= TUF_TARGETS; type++) {
        struct repo *repo = repo_new();

        repo->roles[type].signers[0] = 5;
        repo->roles[TUF_ROOT].version = 2;
        repo_publish(repo, TUF_ROOT);
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
        assert_int_equal(repo_kept(repo, "root.json"), type == TUF_ROOT ? 1 : 2);
        assert_int_equal(repo_kept(repo, "timestamp.json"), type > TUF_TIMESTAMP ? 2 : 0);
        assert_int_equal(repo_kept(repo, "snapshot.json"), type > TUF_SNAPSHOT ? 2 : 0);
        assert_int_equal(repo_kept(repo, "targets.json"), 0);
        repo_free(repo);
    }
}

static void tuf_refresh_file_absent_refused(void **state)
{
    static const char *const paths[] = {"timestamp.json", "1.snapshot.json", "1.targets.json"};

    for (size_t i = 0; i < GH_COUNT(paths); i++) {
        struct repo *repo = repo_new();

        json_object_del(repo->files, paths[i]);
        assert_int_equal(repo_refresh(repo), GH_TUF_MIX_MATCH);
        repo_free(repo);
    }
}

static void tuf_refresh_version_of_name_differs_refused(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        enum gh_cause cause;
    } rows[] = {
        {"3.root.json", "2.root.json", GH_TUF_ROLLBACK},
        {"2.snapshot.json", "1.snapshot.json", GH_TUF_MIX_MATCH},
        {"2.targets.json", "1.targets.json", GH_TUF_MIX_MATCH},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct repo *repo = repo_new();
        char *timestamp = strdup(repo_text(repo->files, "timestamp.json"));

        repo->roles[TUF_ROOT].version = 3;
        repo_publish(repo, TUF_ROOT);
        repo_update(repo);
        repo_put(repo->files, "timestamp.json", timestamp);
        json_object_set(repo->files, rows[i].to, json_object_get(repo->files, rows[i].from));
        assert_int_equal(repo_refresh(repo), rows[i].cause);
        free(timestamp);
        repo_free(repo);
    }
}

static void tuf_refresh_wrong_type_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_SNAPSHOT].signers[0] = TUF_TIMESTAMP;
    repo_publish(repo, TUF_SNAPSHOT);
    json_object_set(repo->files, "timestamp.json", json_object_get(repo->files, "1.snapshot.json"));
    assert_int_equal(repo_refresh(repo), GH_TUF_MIX_MATCH);
}

static void tuf_refresh_unknown_members_are_signed(void **state)
{
    struct repo *repo = *state;

    repo->extra = json_pack("{s:s, s:{s:i}}", "custom", "a \"quoted\" \\ value\n", "deep", "n", 1);
    repo_publish(repo, TUF_TIMESTAMP);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
}

static void tuf_refresh_fraction_in_signed_part_refused(void **state)
{
    struct repo *repo = *state;
    char *text = strdup(repo_text(repo->files, "timestamp.json"));
    char *at = strstr(text, "\"version\": 1");

    assert_non_null(at);
    at[10] = '\0';
    {
        char whole[8192];

        (void)snprintf(whole, sizeof(whole), "%s1.5%s", text, at + 12);
        repo_put(repo->files, "timestamp.json", whole);
    }
    assert_int_equal(repo_refresh(repo), GH_TRUST_ROOT_MALFORMED);
    free(text);
}

/* ---- root rotation ---- */

struct rotation {
    int keys[5];
    size_t key_count;
    int64_t threshold;
    int signers[6];
    size_t signer_count;
};

static void rotate(struct repo *repo, const struct rotation *to)
{
    struct repo_role *root = &repo->roles[TUF_ROOT];

    memcpy(root->keys, to->keys, sizeof(to->keys));
    memcpy(root->signers, to->signers, sizeof(to->signers));
    root->key_count = to->key_count;
    root->signer_count = to->signer_count;
    root->threshold = to->threshold;
    root->version++;
    repo_publish(repo, TUF_ROOT);
}

static void tuf_root_rotation_needs_old_and_new_threshold(void **state)
{
    static const struct {
        struct rotation before;
        struct rotation after;
        enum gh_cause cause;
    } rows[] = {
        {{{0}, 1, 1, {0}, 1}, {{4}, 1, 1, {4, 0}, 2}, GH_CAUSE_NONE},
        {{{0}, 1, 1, {0}, 1}, {{4}, 1, 1, {6, 4, 0, 7}, 4}, GH_CAUSE_NONE},
        {{{0}, 1, 1, {0}, 1}, {{4}, 1, 1, {4, 6}, 2}, GH_TUF_SIGNATURE_THRESHOLD},
        {{{0}, 1, 1, {0}, 1}, {{4}, 1, 1, {0, 6}, 2}, GH_TUF_SIGNATURE_THRESHOLD},
        {{{0, 4, 5}, 3, 2, {0, 4}, 2}, {{0, 4, 5}, 3, 2, {4, 5}, 2}, GH_CAUSE_NONE},
        {{{0, 4, 5}, 3, 2, {0, 4}, 2}, {{0, 4, 6}, 3, 2, {5, 6, 0}, 3}, GH_CAUSE_NONE},
        {{{0, 4, 5}, 3, 2, {0, 4}, 2}, {{0, 4, 6}, 3, 2, {5, 6}, 2}, GH_TUF_SIGNATURE_THRESHOLD},
        {{{0, 4, 5}, 3, 2, {0, 4}, 2}, {{0, 4, 5}, 3, 1, {0}, 1}, GH_TUF_SIGNATURE_THRESHOLD},
        {{{0, 4, 5}, 3, 1, {0}, 1}, {{0, 4, 5}, 3, 2, {4}, 1}, GH_TUF_SIGNATURE_THRESHOLD},
        {{{0, 4, 5}, 3, 1, {0}, 1}, {{0, 4, 5}, 3, 2, {4, 5}, 2}, GH_CAUSE_NONE},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct repo *repo = repo_new();

        rotate(repo, &rows[i].before);
        rotate(repo, &rows[i].after);
        json_object_set(repo->state, "root.json", json_object_get(repo->files, "2.root.json"));
        assert_int_equal(repo_refresh(repo), rows[i].cause);
        assert_int_equal(repo_kept(repo, "root.json"), rows[i].cause == GH_CAUSE_NONE ? 3 : 2);
        repo_free(repo);
    }
}

static void tuf_root_skipped_version_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_ROOT].version = 3;
    repo_publish(repo, TUF_ROOT);
    json_object_set(repo->files, "2.root.json", json_object_get(repo->files, "3.root.json"));
    assert_int_equal(repo_refresh(repo), GH_TUF_ROLLBACK);
}

static void tuf_root_rotations_past_limit_refused(void **state)
{
    for (int over = 0; over <= 1; over++) {
        struct repo *repo = repo_new();

        for (int i = 0; i < TUF_MAX_ROTATIONS + over; i++) {
            repo->roles[TUF_ROOT].version++;
            repo_publish(repo, TUF_ROOT);
        }
        assert_int_equal(repo_refresh(repo), over ? GH_TUF_LIMIT_EXCEEDED : GH_CAUSE_NONE);
        repo_free(repo);
    }
}

static void tuf_root_expired_intermediate_passed(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_ROOT].expires = REPO_PAST;
    repo->roles[TUF_ROOT].version = 2;
    repo_publish(repo, TUF_ROOT);
    repo->roles[TUF_ROOT].expires = REPO_LATER;
    repo->roles[TUF_ROOT].version = 3;
    repo_publish(repo, TUF_ROOT);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_int_equal(repo_kept(repo, "root.json"), 3);
}

static void tuf_root_last_expired_kept_and_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_ROOT].expires = REPO_PAST;
    repo->roles[TUF_ROOT].version = 2;
    repo_publish(repo, TUF_ROOT);
    assert_int_equal(repo_refresh(repo), GH_TUF_FREEZE);
    assert_int_equal(repo_kept(repo, "root.json"), 2);
    assert_int_equal(repo_kept(repo, "timestamp.json"), 0);
}

/* ---- thresholds and keys ---- */

static void snapshot_keys(struct repo *repo, int64_t threshold, size_t keys, size_t signers)
{
    struct repo_role *role = &repo->roles[TUF_SNAPSHOT];

    for (size_t i = 0; i < keys; i++) {
        role->keys[i] = (int)(4 + i);
    }
    for (size_t i = 0; i < signers; i++) {
        role->signers[i] = (int)(4 + i);
    }
    role->key_count = keys;
    role->signer_count = signers;
    role->threshold = threshold;
    repo->roles[TUF_ROOT].version++;
    repo_publish(repo, TUF_ROOT);
    repo_update(repo);
}

static void tuf_threshold_met_and_missed(void **state)
{
    static const struct {
        int64_t threshold;
        size_t keys;
        size_t signers;
        enum gh_cause cause;
    } rows[] = {
        {1, 1, 1, GH_CAUSE_NONE},
        {3, 5, 3, GH_CAUSE_NONE},
        {3, 5, 2, GH_TUF_SIGNATURE_THRESHOLD},
        {3, 2, 5, GH_TUF_SIGNATURE_THRESHOLD},
        {6, 5, 5, GH_TUF_SIGNATURE_THRESHOLD},
        {0, 1, 1, GH_TUF_SIGNATURE_THRESHOLD},
        {-1, 1, 1, GH_TUF_SIGNATURE_THRESHOLD},
        {1, 0, 1, GH_TUF_SIGNATURE_THRESHOLD},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct repo *repo = repo_new();

        snapshot_keys(repo, rows[i].threshold, rows[i].keys, rows[i].signers);
        assert_int_equal(repo_refresh(repo), rows[i].cause);
        repo_free(repo);
    }
}

static void tuf_threshold_duplicate_signature_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_SNAPSHOT].signers[1] = repo->roles[TUF_SNAPSHOT].signers[0];
    repo->roles[TUF_SNAPSHOT].signer_count = 2;
    repo_publish(repo, TUF_SNAPSHOT);
    assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
    assert_int_equal(repo_kept(repo, "snapshot.json"), 0);
}

static void tuf_threshold_duplicate_key_id_in_role_refused(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_SNAPSHOT].keys[1] = repo->roles[TUF_SNAPSHOT].keys[0];
    repo->roles[TUF_SNAPSHOT].key_count = 2;
    repo->roles[TUF_ROOT].version = 2;
    repo_publish(repo, TUF_ROOT);
    assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
    assert_int_equal(repo_kept(repo, "root.json"), 1);
}

static void tuf_threshold_one_key_under_two_ids_counts_once(void **state)
{
    struct repo *repo = *state;
    struct repo_key *twin = &repo->keys[5];

    EVP_PKEY_free(twin->pkey);
    json_decref(twin->object);
    EVP_PKEY_up_ref(repo->keys[4].pkey);
    twin->pkey = repo->keys[4].pkey;
    twin->kind = repo->keys[4].kind;
    twin->object = json_deep_copy(repo->keys[4].object);
    json_object_set_new(twin->object, "comment", json_string("another id"));
    repo_key_id(twin);
    assert_string_not_equal(twin->id, repo->keys[4].id);
    snapshot_keys(repo, 2, 2, 2);
    assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
}

static void tuf_key_id_not_hash_refused_where_needed(void **state)
{
    struct repo *repo = *state;

    repo->keys[4].id[0] = repo->keys[4].id[0] == 'a' ? 'b' : 'a';
    snapshot_keys(repo, 1, 1, 1);
    assert_int_equal(repo_refresh(repo), GH_TUF_KEYID_MISMATCH);
}

static void tuf_key_id_not_hash_passed_where_not_needed(void **state)
{
    struct repo *repo = *state;

    repo->keys[4].id[0] = repo->keys[4].id[0] == 'a' ? 'b' : 'a';
    snapshot_keys(repo, 1, 2, 2);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
}

static void tuf_key_kinds_verify(void **state)
{
    struct repo *repo = *state;

    EVP_PKEY_free(repo->keys[6].pkey);
    json_decref(repo->keys[6].object);
    repo_key_make(&repo->keys[6], REPO_RSA);
    snapshot_keys(repo, 3, 3, 3); /* keys 4 P-256, 5 Ed25519, 6 RSA */
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
}

static void tuf_key_other_keytype_name_and_hex_point_verify(void **state)
{
    struct repo *repo = *state;
    struct repo_key *key = &repo->keys[4];
    uint8_t point[65];
    char hex[131];
    size_t len = 0;

    assert_int_equal(EVP_PKEY_get_octet_string_param(key->pkey, "pub", point, sizeof(point), &len),
                     1);
    if (len != sizeof(point)) {
        skip(); /* this OpenSSL gives the compressed form */
    }
    bytes_hex_encode(bytes_make(point, len), hex);
    json_object_set_new(key->object, "keytype", json_string("ecdsa-sha2-nistp256"));
    json_object_set_new(key->object, "keyval", json_pack("{s:s}", "public", hex));
    json_object_set_new(key->object, "keyid_hash_algorithms", json_pack("[s, s]", "sha256", "md5"));
    repo_key_id(key);
    snapshot_keys(repo, 1, 1, 1);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
}

static void tuf_key_scheme_of_another_kind_counts_for_nothing(void **state)
{
    struct repo *repo = *state;

    json_object_set_new(repo->keys[4].object, "keytype", json_string("ed25519"));
    json_object_set_new(repo->keys[4].object, "scheme", json_string("ed25519"));
    repo_key_id(&repo->keys[4]);
    snapshot_keys(repo, 1, 1, 1);
    assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
}

static void tuf_signature_invalid_beside_valid_passed(void **state)
{
    static const char *const bad[] = {"", "zz", "00", "0"};
    struct repo *repo = *state;

    snapshot_keys(repo, 1, 2, 1);
    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        json_t *doc = json_loads(repo_text(repo->files, "2.snapshot.json"), 0, NULL);
        char *text;

        json_array_append_new(json_object_get(doc, "signatures"),
                              json_pack("{s:s, s:s}", "keyid", repo->keys[5].id, "sig", bad[i]));
        text = json_dumps(doc, 0);
        repo_put(repo->files, "2.snapshot.json", text);
        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        free(text);
        json_decref(doc);
        repo_put(repo->state, "snapshot.json", "");
        snapshot_keys(repo, 1, 2, 1);
        repo->roles[TUF_SNAPSHOT].version = 2;
        repo->roles[TUF_TARGETS].version = 2;
        repo_publish(repo, TUF_SNAPSHOT);
    }
}

/* ---- expiry ---- */

static void tuf_expired_role_refused_and_not_kept(void **state)
{
    for (int type = TUF_TIMESTAMP; type <= TUF_TARGETS; type++) {
        struct repo *repo = repo_new();

        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        repo->roles[type].expires = REPO_PAST;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_TUF_FREEZE);
        assert_int_equal(repo_kept(repo, "timestamp.json"), type > TUF_TIMESTAMP ? 2 : 1);
        assert_int_equal(repo_kept(repo, "snapshot.json"), type > TUF_SNAPSHOT ? 2 : 1);
        assert_int_equal(repo_kept(repo, "targets.json"), 1);
        repo_free(repo);
    }
}

static void tuf_expired_held_timestamp_replaced(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_TIMESTAMP].expires = "2026-01-02T00:00:00Z";
    repo_publish(repo, TUF_TIMESTAMP);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    repo->roles[TUF_TIMESTAMP].expires = REPO_LATER;
    repo_update(repo);
    assert_int_equal(repo_refresh_at(repo, REPO_NOW + 30 * 86400), GH_CAUSE_NONE);
    assert_int_equal(repo_kept(repo, "timestamp.json"), 2);
}

static void tuf_expiry_is_exact_to_the_second(void **state)
{
    struct repo *repo = *state;

    repo->roles[TUF_TIMESTAMP].expires = "2026-01-01T00:00:10Z";
    repo_publish(repo, TUF_TIMESTAMP);
    assert_int_equal(repo_refresh_at(repo, REPO_NOW + 10), GH_TUF_FREEZE);
    assert_int_equal(repo_refresh_at(repo, REPO_NOW + 9), GH_CAUSE_NONE);
    /* nothing new, and what is held has ended */
    assert_int_equal(repo_refresh_at(repo, REPO_NOW + 10), GH_TUF_FREEZE);
}

/* ---- rollback ---- */

static void tuf_timestamp_rollback_refused(void **state)
{
    struct repo *repo = *state;

    repo_update(repo);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    repo->roles[TUF_TIMESTAMP].version = 1;
    repo_publish(repo, TUF_TIMESTAMP);
    assert_int_equal(repo_refresh(repo), GH_TUF_ROLLBACK);
    assert_int_equal(repo_kept(repo, "timestamp.json"), 2);
}

static void tuf_timestamp_same_version_other_content_ignored(void **state)
{
    struct repo *repo = *state;

    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    json_object_set_new(json_object_get(repo->meta, ".snapshot"), "version", json_integer(100));
    repo_publish(repo, TUF_TIMESTAMP);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_string_equal(repo->log, "2.root timestamp ");
}

static void tuf_snapshot_rollback_refused(void **state)
{
    for (int hashes = 0; hashes <= 1; hashes++) {
        struct repo *repo = repo_new();

        repo->has_hashes = hashes;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        repo->roles[TUF_SNAPSHOT].version = 1;
        repo->roles[TUF_TIMESTAMP].version = 3;
        repo_publish(repo, TUF_SNAPSHOT);
        repo_publish(repo, TUF_TIMESTAMP);
        assert_int_equal(repo_refresh(repo), GH_TUF_ROLLBACK);
        assert_string_equal(repo->log, "2.root timestamp ");
        assert_int_equal(repo_kept(repo, "timestamp.json"), 2);
        repo_free(repo);
    }
}

static void tuf_targets_rollback_refused(void **state)
{
    for (int hashes = 0; hashes <= 1; hashes++) {
        struct repo *repo = repo_new();

        repo->has_hashes = hashes;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        repo->roles[TUF_TARGETS].version = 0;
        repo_update(repo); /* targets 1, snapshot 3, timestamp 3 */
        assert_int_equal(repo_refresh(repo), GH_TUF_ROLLBACK);
        assert_int_equal(repo_kept(repo, "snapshot.json"), 2);
        assert_int_equal(repo_kept(repo, "targets.json"), 2);
        repo_free(repo);
    }
}

static void tuf_snapshot_file_vanished_refused(void **state)
{
    struct repo *repo = *state;

    repo_publish_role(repo, "delegated", 1, 5, json_object(), NULL);
    repo_update(repo);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    json_object_del(repo->meta, "delegated.json");
    repo_update(repo);
    assert_int_equal(repo_refresh(repo), GH_TUF_ROLLBACK);
    assert_int_equal(repo_kept(repo, "snapshot.json"), 2);
}

static void repo_new_key(struct repo *repo, enum tuf_type type, int key)
{
    repo->roles[type].keys[0] = key;
    repo->roles[type].signers[0] = key;
}

static void tuf_fast_forward_recovered_by_key_rotation(void **state)
{
    static const struct {
        bool timestamp;
        bool snapshot;
        enum tuf_type back; /* the role whose version goes back to 1 */
        enum gh_cause cause;
    } rows[] = {
        {true, false, TUF_TIMESTAMP, GH_CAUSE_NONE},
        {true, true, TUF_SNAPSHOT, GH_CAUSE_NONE},
        {false, true, TUF_TARGETS, GH_CAUSE_NONE},
        {false, false, TUF_TIMESTAMP, GH_TUF_ROLLBACK},
        {false, false, TUF_SNAPSHOT, GH_TUF_ROLLBACK},
        {false, false, TUF_TARGETS, GH_TUF_ROLLBACK},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct repo *repo = repo_new();

        repo->roles[rows[i].back].version = 99;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        if (rows[i].timestamp) {
            repo_new_key(repo, TUF_TIMESTAMP, 5);
        }
        if (rows[i].snapshot) {
            repo_new_key(repo, TUF_SNAPSHOT, 6);
        }
        repo->roles[TUF_ROOT].version = 2;
        repo_publish(repo, TUF_ROOT);
        repo->roles[rows[i].back].version = 0;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), rows[i].cause);
        if (rows[i].cause == GH_CAUSE_NONE) {
            char file[32];

            (void)snprintf(file, sizeof(file), "%s.json", repo_names[rows[i].back]);
            assert_int_equal(repo_kept(repo, file), 1);
        }
        repo_free(repo);
    }
}

/* ---- mix-and-match ---- */

static void tuf_metadata_hash_mismatch_refused(void **state)
{
    static const char *const entries[] = {".snapshot", "targets.json"};

    for (size_t i = 0; i < GH_COUNT(entries); i++) {
        struct repo *repo = repo_new();

        repo->has_hashes = true;
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
        for (int type = TUF_TARGETS; type >= TUF_TIMESTAMP; type--) {
            repo->roles[type].version++;
            repo_publish(repo, (enum tuf_type)type);
            if ((type == TUF_TARGETS && i == 1) || (type == TUF_SNAPSHOT && i == 0)) {
                json_object_set_new(
                    json_object_get(json_object_get(repo->meta, entries[i]), "hashes"), "sha256",
                    json_string(
                        "0000000000000000000000000000000000000000000000000000000000000000"));
            }
        }
        assert_int_equal(repo_refresh(repo), GH_TUF_MIX_MATCH);
        assert_int_equal(repo_kept(repo, "timestamp.json"), 3);
        assert_int_equal(repo_kept(repo, "snapshot.json"), i == 0 ? 2 : 3);
        assert_int_equal(repo_kept(repo, "targets.json"), 2);
        repo_free(repo);
    }
}

static void tuf_metadata_longer_than_listed_refused(void **state)
{
    struct repo *repo = *state;
    char *longer;

    repo->has_hashes = true;
    repo_update(repo);
    if (asprintf(&longer, "%s ", repo_text(repo->files, "2.targets.json")) < 0) {
        fail();
    }
    repo_put(repo->files, "2.targets.json", longer);
    free(longer);
    assert_int_equal(repo_refresh(repo), GH_TUF_MIX_MATCH);
}

static void tuf_timestamp_past_limit_refused(void **state)
{
    struct repo *repo = *state;
    char *padding = malloc(TUF_MAX_TIMESTAMP_BYTES + 1);

    memset(padding, 'x', TUF_MAX_TIMESTAMP_BYTES);
    padding[TUF_MAX_TIMESTAMP_BYTES] = '\0';
    repo->extra = json_pack("{s:s}", "padding", padding);
    repo_publish(repo, TUF_TIMESTAMP);
    free(padding);
    assert_int_equal(repo_refresh(repo), GH_TUF_LIMIT_EXCEEDED);
}

#define TUF_TEST(name) cmocka_unit_test_setup_teardown(name, repo_setup, repo_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUF_TEST(tuf_refresh_new_repository_fetched_in_order),
        TUF_TEST(tuf_refresh_nothing_new_only_timestamp_fetched),
        TUF_TEST(tuf_refresh_without_root_missing),
        TUF_TEST(tuf_refresh_unsigned_initial_root_refused),
        TUF_TEST(tuf_refresh_inconsistent_repository_plain_names),
        cmocka_unit_test(tuf_refresh_unsigned_role_refused_earlier_kept),
        cmocka_unit_test(tuf_refresh_file_absent_refused),
        cmocka_unit_test(tuf_refresh_version_of_name_differs_refused),
        TUF_TEST(tuf_refresh_wrong_type_refused),
        TUF_TEST(tuf_refresh_unknown_members_are_signed),
        TUF_TEST(tuf_refresh_fraction_in_signed_part_refused),
        cmocka_unit_test(tuf_root_rotation_needs_old_and_new_threshold),
        TUF_TEST(tuf_root_skipped_version_refused),
        cmocka_unit_test(tuf_root_rotations_past_limit_refused),
        TUF_TEST(tuf_root_expired_intermediate_passed),
        TUF_TEST(tuf_root_last_expired_kept_and_refused),
        cmocka_unit_test(tuf_threshold_met_and_missed),
        TUF_TEST(tuf_threshold_duplicate_signature_refused),
        TUF_TEST(tuf_threshold_duplicate_key_id_in_role_refused),
        TUF_TEST(tuf_threshold_one_key_under_two_ids_counts_once),
        TUF_TEST(tuf_key_id_not_hash_refused_where_needed),
        TUF_TEST(tuf_key_id_not_hash_passed_where_not_needed),
        TUF_TEST(tuf_key_kinds_verify),
        TUF_TEST(tuf_key_other_keytype_name_and_hex_point_verify),
        TUF_TEST(tuf_key_scheme_of_another_kind_counts_for_nothing),
        TUF_TEST(tuf_signature_invalid_beside_valid_passed),
        cmocka_unit_test(tuf_expired_role_refused_and_not_kept),
        TUF_TEST(tuf_expired_held_timestamp_replaced),
        TUF_TEST(tuf_expiry_is_exact_to_the_second),
        TUF_TEST(tuf_timestamp_rollback_refused),
        TUF_TEST(tuf_timestamp_same_version_other_content_ignored),
        cmocka_unit_test(tuf_snapshot_rollback_refused),
        cmocka_unit_test(tuf_targets_rollback_refused),
        TUF_TEST(tuf_snapshot_file_vanished_refused),
        cmocka_unit_test(tuf_fast_forward_recovered_by_key_rotation),
        cmocka_unit_test(tuf_metadata_hash_mismatch_refused),
        TUF_TEST(tuf_metadata_longer_than_listed_refused),
        TUF_TEST(tuf_timestamp_past_limit_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
