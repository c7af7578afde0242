#include "crypto/tuf_search.h"

#include "crypto/tuf.h"
#include "tests/support/tuf_repo.h"

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

/* ---- targets ---- */

static void tuf_find_listed_target_given(void **state)
{
    struct repo *repo = *state;
    const char *content = NULL;

    repo_add_target(repo, repo->targets, "file.txt", "content");
    repo_add_target(repo, repo->targets, "path/to/a/file.txt", "other content");
    repo_update(repo);
    assert_int_equal(repo_find(repo, "file.txt", &content), GH_CAUSE_NONE);
    assert_string_equal(content, "content");
    assert_int_equal(repo_find(repo, "path/to/a/file.txt", &content), GH_CAUSE_NONE);
    assert_string_equal(content, "other content");
    assert_int_equal(repo_find(repo, "absent.txt", &content), GH_TUF_TARGET_MISMATCH);
}

static void tuf_find_altered_target_refused(void **state)
{
    static const char *const contents[] = {"Content", "content ", "conten", ""};
    struct repo *repo = *state;
    const char *path = NULL;
    json_t *value;

    repo_add_target(repo, repo->targets, "file.txt", "content");
    repo_update(repo);
    json_object_foreach (repo->contents, path, value) {
        break;
    }
    for (size_t i = 0; i < GH_COUNT(contents); i++) {
        char *name = strdup(path);

        json_object_set_new(repo->contents, name, json_string(contents[i]));
        free(name);
        assert_int_equal(repo_find(repo, "file.txt", NULL), GH_TUF_TARGET_MISMATCH);
    }
}

static void tuf_find_unknown_hash_alone_refused(void **state)
{
    struct repo *repo = *state;

    json_object_set_new(repo->targets, "file.txt",
                        json_pack("{s:i, s:{s:s}}", "length", 7, "hashes", "unknown-hash", "00"));
    repo_put(repo->contents, "00.file.txt", "content");
    repo_update(repo);
    assert_int_equal(repo_find(repo, "file.txt", NULL), GH_TUF_TARGET_MISMATCH);
}

static void tuf_find_unsafe_name_refused(void **state)
{
    static const char *const names[] = {"",     "/etc/passwd", "../x",  "a/../x", "a/./x",
                                        "a//x", "a/",          "a\\b",  "a\nb",   "..",
                                        ".",    "../../x",     "a/b/.."};
    struct repo *repo = *state;

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        json_object_set_new(repo->targets, names[i], repo_target_entry("x"));
    }
    repo_update(repo);
    for (size_t i = 0; i < GH_COUNT(names); i++) {
        assert_int_equal(repo_find(repo, names[i], NULL), GH_TUF_TARGET_MISMATCH);
    }
}

static void tuf_find_hash_that_leaves_the_folder_refused(void **state)
{
    struct repo *repo = *state;

    json_object_set_new(
        repo->targets, "file.txt",
        json_pack("{s:i, s:{s:s}}", "length", 7, "hashes", "sha256", "../../secret/x"));
    repo_update(repo);
    assert_int_equal(repo_find(repo, "file.txt", NULL), GH_TUF_TARGET_MISMATCH);
}

static void tuf_client_is_target_only_the_very_content(void **state)
{
    struct repo *repo = *state;
    struct tuf_client *client = NULL;
    struct gh_error err = {0};
    struct bytes content = bytes_of("content");

    repo_add_target(repo, repo->targets, "file.txt", "content");
    repo_update(repo);
    assert_true(tuf_client_new(REPO_NOW, &client, &err));
    assert_true(repo_drive(repo, client, NULL, &err));
    assert_false(tuf_client_is_target(client, content));
    assert_true(tuf_client_find(client, bytes_of("file.txt"), &err));
    assert_false(tuf_client_is_target(client, bytes_of("Content")));
    assert_true(tuf_client_is_target(client, content));
    assert_true(tuf_client_answer(client, &content, &err));
    tuf_client_free(client);
}

/* ---- delegations ---- */

/* Publish the roles of ROWS: "parent role pattern[!]", all signed with key 5. */
static void delegate_graph(struct repo *repo, const char *const *rows, size_t count)
{
    static const char *const names[] = {"targets", "A", "B", "C", "D"};
    json_t *lists[GH_COUNT(names)] = {0};
    bool is_used[GH_COUNT(names)] = {false};

    for (size_t i = 0; i < count; i++) {
        char parent[16], role[16], pattern[32];
        bool is_terminating;

        assert_int_equal(sscanf(rows[i], "%15s %15s %31s", parent, role, pattern), 3);
        is_terminating = pattern[strlen(pattern) - 1] == '!';
        pattern[strlen(pattern) - (is_terminating ? 1 : 0)] = '\0';
        for (size_t n = 0; n < GH_COUNT(names); n++) {
            is_used[n] = is_used[n] || strcmp(names[n], role) == 0;
            if (strcmp(names[n], parent) == 0) {
                lists[n] = lists[n] != NULL ? lists[n] : json_array();
                json_array_append_new(lists[n], repo_row(repo, role, 5, pattern, is_terminating));
            }
        }
    }
    for (size_t n = 1; n < GH_COUNT(names); n++) {
        if (is_used[n]) {
            repo_publish_role(repo, names[n], 1, 5, json_object(),
                              lists[n] != NULL ? repo_delegate(repo, lists[n]) : NULL);
        }
    }
    repo->delegations = repo_delegate(repo, lists[0]);
    repo_update(repo);
}

static void tuf_find_delegations_visited_in_preorder(void **state)
{
    static const struct {
        const char *rows[5];
        size_t count;
        const char *visited;
    } graphs[] = {
        {{"targets A *"}, 1, "1.A "},
        {{"targets A *", "targets B *"}, 2, "1.A 1.B "},
        {{"targets A *", "targets B *", "B C *"}, 3, "1.A 1.B 1.C "},
        {{"targets A *", "targets B *", "A C *", "A D *"}, 4, "1.A 1.C 1.D 1.B "},
        {{"targets A *", "targets B *", "A C *", "C D *"}, 4, "1.A 1.C 1.D 1.B "},
        {{"targets A *", "targets B *", "A C *!", "A D *"}, 4, "1.A 1.C "},
        {{"targets A *", "targets B *", "A C *!", "C D *"}, 4, "1.A 1.C 1.D "},
        {{"targets A *.py", "targets B *", "A C *"}, 3, "1.B "},
        {{"targets A *", "targets B *", "A C *.py", "C D *"}, 4, "1.A 1.B "},
        {{"targets A *", "targets B *", "B C *", "C D *", "D B *"}, 5, "1.A 1.B 1.C 1.D "},
        {{"targets A *", "targets B *", "B C *", "A C *"}, 4, "1.A 1.C 1.B "},
        {{"targets A *", "targets B *", "B C *", "A C *.py"}, 4, "1.A 1.B 1.C "},
        {{"targets A *.py!", "targets B *"}, 2, "1.B "},
    };

    for (size_t i = 0; i < GH_COUNT(graphs); i++) {
        struct repo *repo = repo_new();

        delegate_graph(repo, graphs[i].rows, graphs[i].count);
        assert_int_equal(repo_find(repo, "missing", NULL), GH_TUF_TARGET_MISMATCH);
        assert_string_equal(repo->log + strlen("2.root timestamp 2.snapshot 2.targets "),
                            graphs[i].visited);
        repo_free(repo);
    }
}

static void tuf_find_delegated_target_given_and_role_kept(void **state)
{
    struct repo *repo = *state;
    json_t *targets = json_object();
    const char *content = NULL;

    repo_add_target(repo, targets, "team/file", "delegated content");
    repo_publish_role(repo, "team", 1, 5, targets, NULL);
    repo->delegations =
        repo_delegate(repo, json_pack("[o]", repo_row(repo, "team", 5, "team/*", false)));
    repo_update(repo);
    assert_int_equal(repo_find(repo, "team/file", &content), GH_CAUSE_NONE);
    assert_string_equal(content, "delegated content");
    assert_int_equal(repo_kept(repo, "team.json"), 1);
    assert_int_equal(repo_find(repo, "team/file", &content), GH_CAUSE_NONE);
    assert_string_equal(repo->log, "2.root timestamp ");
}

static void tuf_find_delegated_by_hash_prefix(void **state)
{
    struct repo *repo = *state;
    char hash[TUF_PATH_HASH_DIGITS + 1];
    struct gh_error err = {0};
    json_t *targets = json_object(), *row;

    assert_true(tuf_path_hash(bytes_of("file"), hash, &err));
    hash[4] = '\0';
    repo_add_target(repo, targets, "file", "content");
    repo_add_target(repo, targets, "other", "content");
    repo_publish_role(repo, "team", 1, 5, targets, NULL);
    row = repo_row(repo, "team", 5, "", false);
    json_object_del(row, "paths");
    json_object_set_new(row, "path_hash_prefixes", json_pack("[s]", hash));
    repo->delegations = repo_delegate(repo, json_pack("[o]", row));
    repo_update(repo);
    assert_int_equal(repo_find(repo, "file", NULL), GH_CAUSE_NONE);
    assert_int_equal(repo_find(repo, "other", NULL), GH_TUF_TARGET_MISMATCH);
}

static void tuf_find_delegated_by_hash_bin(void **state)
{
    struct repo *repo = *state;
    struct gh_error err = {0};
    json_t *targets = json_object();
    int key = 5;
    char *bin = NULL;

    assert_true(tuf_path_bin(bytes_of("file"), "bin", 8, &bin, &err));
    assert_int_equal(strlen(bin), strlen("bin-00"));
    repo_add_target(repo, targets, "file", "content");
    repo_publish_role(repo, bin, 1, key, targets, NULL);
    repo->delegations = json_pack(
        "{s:o, s:{s:[s], s:i, s:i, s:s}}", "keys", repo_key_map(repo, &key, 1), "succinct_roles",
        "keyids", repo->keys[key].id, "threshold", 1, "bit_length", 8, "name_prefix", "bin");
    repo_update(repo);
    assert_int_equal(repo_find(repo, "file", NULL), GH_CAUSE_NONE);
    free(bin);
}

static void tuf_find_delegated_role_wrongly_signed_refused(void **state)
{
    struct repo *repo = *state;

    repo_publish_role(repo, "team", 1, 6, json_object(), NULL);
    repo->delegations =
        repo_delegate(repo, json_pack("[o]", repo_row(repo, "team", 5, "*", false)));
    repo_update(repo);
    assert_int_equal(repo_find(repo, "x", NULL), GH_TUF_SIGNATURE_THRESHOLD);
    assert_int_equal(repo_kept(repo, "team.json"), 0);
}

static void tuf_find_held_role_verified_against_present_delegator(void **state)
{
    struct repo *repo = *state;
    struct tuf_client *client = NULL;
    struct gh_error err = {0};
    json_t *release = json_object();
    const char *content = NULL;

    repo_add_target(repo, release, "team-a/file", "trusted by A");
    repo_add_target(repo, release, "team-b/file", "never trusted by B");
    repo_publish_role(repo, "release", 1, 7, release, NULL);
    repo_publish_role(
        repo, "a", 1, 5, json_object(),
        repo_delegate(repo, json_pack("[o]", repo_row(repo, "release", 7, "team-a/*", false))));
    repo_publish_role(
        repo, "b", 1, 6, json_object(),
        repo_delegate(repo, json_pack("[o]", repo_row(repo, "release", 8, "team-b/*", false))));
    repo->delegations =
        repo_delegate(repo, json_pack("[o, o]", repo_row(repo, "a", 5, "team-a/*", false),
                                      repo_row(repo, "b", 6, "team-b/*", false)));
    repo_update(repo);
    assert_true(tuf_client_new(REPO_NOW, &client, &err));
    assert_true(repo_drive(repo, client, NULL, &err));
    assert_true(tuf_client_find(client, bytes_of("team-a/file"), &err));
    assert_true(repo_drive(repo, client, &content, &err));
    assert_string_equal(content, "trusted by A");
    assert_true(tuf_client_find(client, bytes_of("team-b/file"), &err));
    assert_false(repo_drive(repo, client, &content, &err));
    assert_int_equal(err.cause, GH_TUF_SIGNATURE_THRESHOLD);
    tuf_client_free(client);
    /* and in a process that starts anew */
    assert_int_equal(repo_find(repo, "team-b/file", NULL), GH_TUF_SIGNATURE_THRESHOLD);
}

static void tuf_find_delegation_not_in_snapshot_refused(void **state)
{
    struct repo *repo = *state;

    repo_publish_role(repo, "team", 1, 5, json_object(), NULL);
    json_object_del(repo->meta, "team.json");
    repo->delegations =
        repo_delegate(repo, json_pack("[o]", repo_row(repo, "team", 5, "*", false)));
    repo_update(repo);
    assert_int_equal(repo_refresh(repo), GH_CAUSE_NONE);
    assert_int_equal(repo_find(repo, "x", NULL), GH_TUF_MIX_MATCH);
    assert_string_equal(repo->log, "2.root timestamp ");
}

static void tuf_find_delegation_threshold_below_one_refused(void **state)
{
    for (int threshold = -1; threshold <= 0; threshold++) {
        struct repo *repo = repo_new();
        json_t *row = repo_row(repo, "team", 5, "*", false);

        json_object_set_new(row, "threshold", json_integer(threshold));
        repo->delegations = repo_delegate(repo, json_pack("[o]", row));
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_TUF_SIGNATURE_THRESHOLD);
        repo_free(repo);
    }
}

static void tuf_find_odd_role_names_escaped(void **state)
{
    static const struct {
        const char *name;
        const char *escaped;
    } rows[] = {{"?", "%3F"},
                {"#", "%23"},
                {"/role", "%2Frole"},
                {"../role", "..%2Frole"},
                {"a b", "a%20b"}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct repo *repo = repo_new();
        char path[64], kept[64];

        repo_publish_role(repo, rows[i].name, 1, 5, json_object(), NULL);
        (void)snprintf(path, sizeof(path), "1.%s.json", rows[i].name);
        (void)snprintf(kept, sizeof(kept), "1.%s.json", rows[i].escaped);
        json_object_set(repo->files, kept, json_object_get(repo->files, path));
        repo->delegations =
            repo_delegate(repo, json_pack("[o]", repo_row(repo, rows[i].name, 5, "*", false)));
        repo_update(repo);
        assert_int_equal(repo_find(repo, "x", NULL), GH_TUF_TARGET_MISMATCH);
        assert_int_equal(repo_kept(repo, kept + 2), 1);
        repo_free(repo);
    }
}

static void tuf_find_role_named_like_top_level_refused(void **state)
{
    for (size_t i = 0; i < 4; i++) {
        struct repo *repo = repo_new();

        repo->delegations =
            repo_delegate(repo, json_pack("[o]", repo_row(repo, repo_names[i], 5, "*", false)));
        repo_update(repo);
        assert_int_equal(repo_refresh(repo), GH_TRUST_ROOT_MALFORMED);
        repo_free(repo);
    }
}

static void tuf_find_too_many_roles_refused(void **state)
{
    for (int over = 0; over <= 1; over++) {
        struct repo *repo = repo_new();
        json_t *rows = json_array();

        for (int i = 0; i < TUF_MAX_VISITED_ROLES + over; i++) {
            char name[16];

            (void)snprintf(name, sizeof(name), "role%d", i);
            repo_publish_role(repo, name, 1, 5, json_object(), NULL);
            json_array_append_new(rows, repo_row(repo, name, 5, "*", false));
        }
        repo->delegations = repo_delegate(repo, rows);
        repo_update(repo);
        assert_int_equal(repo_find(repo, "x", NULL),
                         over ? GH_TUF_LIMIT_EXCEEDED : GH_TUF_TARGET_MISMATCH);
        repo_free(repo);
    }
}

#define TUF_TEST(name) cmocka_unit_test_setup_teardown(name, repo_setup, repo_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TUF_TEST(tuf_find_listed_target_given),
        TUF_TEST(tuf_find_altered_target_refused),
        TUF_TEST(tuf_find_unknown_hash_alone_refused),
        TUF_TEST(tuf_find_unsafe_name_refused),
        TUF_TEST(tuf_find_hash_that_leaves_the_folder_refused),
        TUF_TEST(tuf_client_is_target_only_the_very_content),
        cmocka_unit_test(tuf_find_delegations_visited_in_preorder),
        TUF_TEST(tuf_find_delegated_target_given_and_role_kept),
        TUF_TEST(tuf_find_delegated_by_hash_prefix),
        TUF_TEST(tuf_find_delegated_by_hash_bin),
        TUF_TEST(tuf_find_delegated_role_wrongly_signed_refused),
        TUF_TEST(tuf_find_held_role_verified_against_present_delegator),
        TUF_TEST(tuf_find_delegation_not_in_snapshot_refused),
        cmocka_unit_test(tuf_find_delegation_threshold_below_one_refused),
        cmocka_unit_test(tuf_find_odd_role_names_escaped),
        cmocka_unit_test(tuf_find_role_named_like_top_level_refused),
        cmocka_unit_test(tuf_find_too_many_roles_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
