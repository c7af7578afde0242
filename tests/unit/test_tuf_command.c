#include "proxy/tuf_command.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/tuf_refresh.h"
#include "tests/support/tuf_repo.h"

#include <curl/curl.h>

/* The command judges by the real clock: what the test publishes ends long after it. */
#define COMMAND_LATER "2061-01-01T00:00:00Z"

struct place {
    struct repo *repo;
    char folder[64];
    char metadata[96], targets[96], state[96], out[96];
    char metadata_url[128], targets_url[128], base_url[96];
};

static void place_write(const char *folder, const char *name, const char *text)
{
    char path[1024];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static char *place_read(const char *folder, const char *name)
{
    char path[1024];
    char *text = calloc(65536, 1);
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    if (file == NULL) {
        free(text);
        return NULL;
    }
    (void)!fread(text, 1, 65535, file);
    (void)fclose(file);
    return text;
}

static void place_publish(struct place *place)
{
    const char *name;
    json_t *value;

    json_object_foreach (place->repo->files, name, value) {
        place_write(place->metadata, name, json_string_value(value));
    }
    json_object_foreach (place->repo->contents, name, value) {
        place_write(place->targets, name, json_string_value(value));
    }
}

static int place_setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct repo *repo = repo_new();

    (void)snprintf(place->folder, sizeof(place->folder), "/tmp/gatehouse-tuf-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    (void)snprintf(place->metadata, sizeof(place->metadata), "%s/repo", place->folder);
    (void)snprintf(place->targets, sizeof(place->targets), "%s/repo/targets", place->folder);
    (void)snprintf(place->state, sizeof(place->state), "%s/state", place->folder);
    (void)snprintf(place->out, sizeof(place->out), "%s/out", place->folder);
    (void)snprintf(place->metadata_url, sizeof(place->metadata_url), "file://%s/", place->metadata);
    (void)snprintf(place->targets_url, sizeof(place->targets_url), "file://%s", place->targets);
    assert_int_equal(mkdir(place->metadata, 0755), 0);
    assert_int_equal(mkdir(place->targets, 0755), 0);
    for (int i = 0; i < 4; i++) {
        repo->roles[i].expires = COMMAND_LATER;
    }
    repo_publish(repo, TUF_ROOT);
    repo_add_target(repo, repo->targets, "trusted_root.json", "{\"the\": \"root\"}");
    repo_add_target(repo, repo->targets, "other.json", "other");
    repo_update(repo);
    place->repo = repo;
    place_publish(place);
    *state = place;
    return 0;
}

static int place_remove(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    return remove(path);
}

static int place_teardown(void **state)
{
    struct place *place = *state;

    (void)nftw(place->folder, place_remove, 8, FTW_DEPTH | FTW_PHYS);
    repo_free(place->repo);
    free(place);
    return 0;
}

static int run_init(const struct place *place, const char *root)
{
    const char *argv[] = {"tuf", "--metadata-dir", place->state, "init", root, NULL};

    return tuf_command_main(5, (char **)argv);
}

static int run_refresh(const struct place *place)
{
    const char *argv[] = {
        "tuf", "--metadata-url", place->metadata_url, "--metadata-dir", place->state, "refresh",
        NULL};

    return tuf_command_main(6, (char **)argv);
}

static int run_download(const struct place *place, const char *first, const char *second)
{
    const char *argv[] = {"tuf",
                          "--metadata-url",
                          place->metadata_url,
                          "--metadata-dir",
                          place->state,
                          "--target-name",
                          first,
                          "--target-name",
                          second,
                          "--target-dir",
                          place->out,
                          "--target-base-url",
                          place->targets_url,
                          "download",
                          NULL};

    return tuf_command_main(14, (char **)argv);
}

static void begin(const struct place *place)
{
    char root[128];

    (void)snprintf(root, sizeof(root), "%s/1.root.json", place->metadata);
    assert_int_equal(run_init(place, root), 0);
}

static void assert_file(const char *folder, const char *name, const char *wanted)
{
    char *text = place_read(folder, name);

    if (wanted == NULL) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, wanted);
    }
    free(text);
}

static void tuf_command_refresh_keeps_bytes_as_served(void **state)
{
    const struct place *place = *state;

    begin(place);
    assert_int_equal(run_refresh(place), 0);
    assert_file(place->state, "root.json", repo_text(place->repo->files, "1.root.json"));
    assert_file(place->state, "timestamp.json", repo_text(place->repo->files, "timestamp.json"));
    assert_file(place->state, "snapshot.json", repo_text(place->repo->files, "2.snapshot.json"));
    assert_file(place->state, "targets.json", repo_text(place->repo->files, "2.targets.json"));
}

static void tuf_command_init_unsigned_root_refused(void **state)
{
    struct place *place = *state;
    char root[128];

    place->repo->roles[TUF_ROOT].signers[0] = 6;
    repo_publish(place->repo, TUF_ROOT);
    place_publish(place);
    (void)snprintf(root, sizeof(root), "%s/1.root.json", place->metadata);
    assert_int_equal(run_init(place, root), 1);
    assert_int_equal(run_refresh(place), 1);
    assert_int_equal(run_init(place, "/nonexistent"), 1);
}

static void tuf_command_download_stops_at_first_failure(void **state)
{
    const struct place *place = *state;

    begin(place);
    assert_int_equal(run_download(place, "absent", "other.json"), 1);
    assert_file(place->out, "other.json", NULL);
    assert_int_equal(run_download(place, "trusted_root.json", "other.json"), 0);
    assert_file(place->out, "trusted_root.json", "{\"the\": \"root\"}");
    assert_file(place->out, "other.json", "other");
}

static void tuf_command_download_present_target_not_fetched(void **state)
{
    struct place *place = *state;
    const char *name;
    json_t *value;

    begin(place);
    assert_int_equal(run_download(place, "trusted_root.json", "other.json"), 0);
    json_object_foreach (place->repo->contents, name, value) {
        place_write(place->targets, name, "malicious");
    }
    assert_int_equal(run_download(place, "trusted_root.json", "other.json"), 0);
    /* what was changed on this side is fetched again, and refused */
    place_write(place->out, "other.json", "changed");
    assert_int_equal(run_download(place, "trusted_root.json", "other.json"), 1);
    assert_file(place->out, "trusted_root.json", "{\"the\": \"root\"}");
}

static void tuf_command_wrong_usage_fails(void **state)
{
    const struct place *place = *state;
    const char *none[] = {"tuf", NULL};
    const char *unknown[] = {"tuf", "--odd", "x", "refresh", NULL};
    const char *verb[] = {"tuf", "--metadata-dir", place->state, "upgrade", NULL};
    const char *scheme[] = {"tuf",        "--metadata-url", "ftp://h/x", "--metadata-dir",
                            place->state, "refresh",        NULL};
    const char *user[] = {"tuf",
                          "--metadata-url",
                          "http://u:p@127.0.0.1/x",
                          "--metadata-dir",
                          place->state,
                          "refresh",
                          NULL};

    assert_int_equal(tuf_command_main(1, (char **)none), 2);
    assert_int_equal(tuf_command_main(4, (char **)unknown), 2);
    assert_int_equal(tuf_command_main(4, (char **)verb), 2);
    assert_int_equal(tuf_command_main(6, (char **)scheme), 1);
    assert_int_equal(tuf_command_main(6, (char **)user), 1);
}

/* ---- scheduled refresh ---- */

static struct tuf_refresh refresh_of(const struct place *place)
{
    return (struct tuf_refresh){
        .folder = place->state,
        .url = place->metadata_url,
        .initial_root = bytes_of(repo_text(place->repo->files, "1.root.json")),
        .target = "trusted_root.json",
        .now_unix_s = REPO_NOW,
    };
}

static void tuf_refresh_run_and_held_give_the_target(void **state)
{
    struct place *place = *state;
    struct tuf_refresh refresh = refresh_of(place);
    struct tuf_status status;
    struct bytes_buf out = {0};
    struct gh_error err = {0};
    int64_t refreshed = 0;

    assert_false(tuf_refresh_held(&refresh, &out, &status, &refreshed, &err));
    assert_int_equal(err.cause, GH_TRUST_ROOT_MISSING);
    err = (struct gh_error){0};
    assert_true(tuf_refresh_run(&refresh, &out, &status, &err));
    assert_true(bytes_equal_cstr(bytes_view(&out), "{\"the\": \"root\"}"));
    assert_int_equal(status.timestamp_version, 2);
    assert_int_equal(status.root_version, 1);
    bytes_buf_done(&out);
    /* the repository is gone, and everything has ended: what is held is still there */
    (void)nftw(place->metadata, place_remove, 8, FTW_DEPTH | FTW_PHYS);
    assert_true(tuf_refresh_held(&refresh, &out, &status, &refreshed, &err));
    assert_true(bytes_equal_cstr(bytes_view(&out), "{\"the\": \"root\"}"));
    assert_int_equal(refreshed, REPO_NOW);
    bytes_buf_done(&out);
    assert_false(tuf_refresh_run(&refresh, &out, &status, &err));
    assert_int_equal(err.cause, GH_TUF_MIX_MATCH);
}

static void tuf_refresh_held_altered_target_refused(void **state)
{
    const struct place *place = *state;
    struct tuf_refresh refresh = refresh_of(place);
    struct tuf_status status;
    struct bytes_buf out = {0};
    struct gh_error err = {0};
    int64_t refreshed = 0;

    assert_true(tuf_refresh_run(&refresh, &out, &status, &err));
    bytes_buf_done(&out);
    place_write(place->state, "trusted_root.json.target", "{\"THE\": \"root\"}");
    assert_false(tuf_refresh_held(&refresh, &out, &status, &refreshed, &err));
    assert_int_equal(err.cause, GH_TUF_TARGET_MISMATCH);
    err = (struct gh_error){0};
    assert_true(tuf_refresh_run(&refresh, &out, &status, &err));
    assert_true(bytes_equal_cstr(bytes_view(&out), "{\"the\": \"root\"}"));
    bytes_buf_done(&out);
}

#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACE_TEST(tuf_command_refresh_keeps_bytes_as_served),
        PLACE_TEST(tuf_command_init_unsigned_root_refused),
        PLACE_TEST(tuf_command_download_stops_at_first_failure),
        PLACE_TEST(tuf_command_download_present_target_not_fetched),
        PLACE_TEST(tuf_command_wrong_usage_fails),
        PLACE_TEST(tuf_refresh_run_and_held_give_the_target),
        PLACE_TEST(tuf_refresh_held_altered_target_refused),
    };

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
