#include "proxy/tuf_command.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "crypto/tuf.h"
#include "gatehouse.h"
#include "proxy/tuf_fetch.h"
#include "proxy/tuf_state.h"

#define COMMAND_MAX_TARGETS 1024

struct command {
    const char *metadata_url;
    const char *metadata_dir;
    const char *target_dir;
    const char *target_base_url;
    const char *targets[COMMAND_MAX_TARGETS];
    size_t target_count;
    char **rest; /* the verb and what follows it */
    int rest_count;
    bool is_misused; /* the arguments make no command: what to write instead was shown */
};

static const char command_usage[] =
    "usage: gatehouse tuf --metadata-dir DIR init TRUSTED_ROOT\n"
    "       gatehouse tuf --metadata-url URL --metadata-dir DIR refresh\n"
    "       gatehouse tuf --metadata-url URL --metadata-dir DIR --target-name PATH...\n"
    "                     --target-dir DIR --target-base-url URL download\n"
    "\n"
    "A TUF client: keeps the metadata it trusts in DIR, under the roles' names, and fetches\n"
    "targets that the metadata names.\n"
    "\n"
    "Exit status: 0 done, 1 refused, 2 wrong usage\n";

static void command_str_freep(char **string)
{
    free(*string);
}

static bool command_usage_fail(struct command *command, struct gh_error *err, const char *what)
{
    command->is_misused = true;
    return gh_fail(err, GH_POLICY_DENIED, "%s", what);
}

static bool command_parse(int argc, char **argv, struct command *out, struct gh_error *err)
{
    static const struct option options[] = {
        {"metadata-url", required_argument, NULL, 'u'},
        {"metadata-dir", required_argument, NULL, 'm'},
        {"target-name", required_argument, NULL, 'n'},
        {"target-dir", required_argument, NULL, 'd'},
        {"target-base-url", required_argument, NULL, 'b'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 0; /* start over: main() may have parsed options of its own */
    while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (option) {
        case 'u':
            out->metadata_url = optarg;
            break;
        case 'm':
            out->metadata_dir = optarg;
            break;
        case 'd':
            out->target_dir = optarg;
            break;
        case 'b':
            out->target_base_url = optarg;
            break;
        case 'n':
            if (out->target_count == COMMAND_MAX_TARGETS) {
                return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d targets",
                               COMMAND_MAX_TARGETS);
            }
            out->targets[out->target_count++] = optarg;
            break;
        case 'h':
            (void)fputs(command_usage, stdout);
            exit(0);
        default:
            return command_usage_fail(out, err, "unknown option");
        }
    }
    out->rest = argv + optind;
    out->rest_count = argc - optind;
    return true;
}

static bool command_read_file(const char *path, size_t limit, struct bytes_buf *out,
                              struct gh_error *err)
{
    FILE *file = fopen(path, "rbe");
    bool is_read;

    if (file == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "cannot open %.160s", path);
    }
    is_read = bytes_buf_alloc(limit + 1, out, err);
    if (is_read) {
        out->len = fread(out->data, 1, limit + 1, file);
        is_read = !ferror(file) || gh_fail(err, GH_TRUST_ROOT_MISSING, "cannot read %.160s", path);
    }
    (void)fclose(file);
    return is_read;
}

/* Trust begins here: the root must at least be signed by its own keys. It may have expired. */
static bool command_init(struct command *command, struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *root = NULL;
    GH_OWN(tuf_state_closep) struct tuf_state *state = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf content = {0};

    if (command->rest_count != 2 || command->metadata_dir == NULL) {
        return command_usage_fail(command, err, "init takes --metadata-dir and a root file");
    }
    GH_TRY(command_read_file(command->rest[1], TUF_MAX_ROOT_BYTES, &content, err));
    GH_TRY(tuf_metadata_read(TUF_ROOT, bytes_view(&content), &root, err));
    GH_TRY(tuf_metadata_verify(root, &root->roles[TUF_ROOT], root, err));
    GH_TRY(tuf_state_open(command->metadata_dir, true, &state, err));
    return tuf_state_store(state, "root.json", bytes_view(&content), err);
}

/* One target: what is there already is used where it is the very one. */
static bool command_download_one(const char *target, struct tuf_fetch *fetch,
                                 struct tuf_state *metadata, struct tuf_state *targets,
                                 struct tuf_client *client, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf held = {0};
    GH_OWN(bytes_buf_done) struct bytes_buf fetched = {0};
    GH_OWN(command_str_freep) char *name = NULL;
    bool found, is_fetched = false;
    struct bytes view;

    GH_TRY(tuf_client_find(client, bytes_of(target), err));
    GH_TRY(tuf_path_escape(bytes_of(target), false, TUF_FILE_MAX_BYTES, &name, err));
    GH_TRY(tuf_state_read(targets, name, TUF_MAX_TARGET_BYTES, &held, &found, err));
    view = bytes_view(&held);
    GH_TRY(
        tuf_fetch_drive(fetch, metadata, client, found ? &view : NULL, &fetched, &is_fetched, err));
    return !is_fetched || tuf_state_store(targets, name, bytes_view(&fetched), err);
}

static bool command_download(const struct command *command, struct tuf_fetch *fetch,
                             struct tuf_state *metadata, struct tuf_client *client,
                             struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *targets = NULL;

    GH_TRY(tuf_state_open(command->target_dir, false, &targets, err));
    for (size_t i = 0; i < command->target_count; i++) {
        if (!command_download_one(command->targets[i], fetch, metadata, targets, client, err)) {
            gh_error_at(err, "%.80s", command->targets[i]);
            return false;
        }
    }
    return true;
}

static bool command_update(struct command *command, bool is_download, struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *metadata = NULL;
    GH_OWN(tuf_fetch_freep) struct tuf_fetch *fetch = NULL;
    GH_OWN(tuf_client_freep) struct tuf_client *client = NULL;

    if (command->rest_count != 1 || command->metadata_dir == NULL ||
        command->metadata_url == NULL ||
        (is_download && (command->target_count == 0 || command->target_dir == NULL ||
                         command->target_base_url == NULL))) {
        return command_usage_fail(command, err, "an option is missing, or an argument too many");
    }
    GH_TRY(tuf_fetch_new(command->metadata_url,
                         is_download ? command->target_base_url : command->metadata_url, &fetch,
                         err));
    GH_TRY(tuf_state_open(command->metadata_dir, true, &metadata, err));
    GH_TRY(tuf_client_new((int64_t)time(NULL), &client, err));
    GH_TRY(tuf_fetch_drive(fetch, metadata, client, NULL, NULL, NULL, err));
    return !is_download || command_download(command, fetch, metadata, client, err);
}

static bool command_run(int argc, char **argv, struct command *command, struct gh_error *err)
{
    const char *verb;

    GH_TRY(command_parse(argc, argv, command, err));
    verb = command->rest_count > 0 ? command->rest[0] : "";
    if (strcmp(verb, "init") == 0) {
        return command_init(command, err);
    }
    if (strcmp(verb, "refresh") == 0) {
        return command_update(command, false, err);
    }
    if (strcmp(verb, "download") == 0) {
        return command_update(command, true, err);
    }
    return command_usage_fail(command, err, "the verb is init, refresh or download");
}

int tuf_command_main(int argc, char **argv)
{
    struct command command = {0};
    struct gh_error err = {0};
    bool is_done;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fputs("gatehouse tuf: libcurl cannot be initialised\n", stderr);
        return 1;
    }
    is_done = command_run(argc, argv, &command, &err);
    if (command.is_misused) {
        (void)fprintf(stderr, "gatehouse tuf: %s\n%s", err.text, command_usage);
    } else if (!is_done) {
        (void)fprintf(stderr, "gatehouse tuf: %s%s%s (%s)\n", err.place,
                      err.place[0] != '\0' ? ": " : "", err.text, gh_cause_label(err.cause));
    }
    curl_global_cleanup();
    if (command.is_misused) {
        return 2;
    }
    return is_done ? 0 : 1;
}
