#include "proxy/command_exceptions.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/sjson.h"
#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/exception_edit.h"
#include "proxy/admin_call.h"
#include "proxy/config_files.h"
#include "proxy/trust_held.h"

#define EXCEPTIONS_MAX_ITEMS 64

static const char exceptions_usage[] =
    "usage: gatehouse exceptions list -c FILE [--tenant NAME] [--output text|json]\n"
    "       gatehouse exceptions add -c FILE --id ID --image NAME@sha256:... --policy NAME\n"
    "                 --owner WHO --approved-by WHO --justification TEXT --expires DATE\n"
    "                 [--waive REQUIREMENT] [--control TEXT] [--created DATE]\n"
    "       gatehouse exceptions renew -c FILE --id ID --by WHO --expires DATE\n"
    "       gatehouse exceptions revoke -c FILE --id ID\n"
    "\n"
    "Shows and edits the exceptions register that FILE names. Edits keep comments, must load, and\n"
    "replace the register at once or not at all; a running gateway sees them at its next reload.\n"
    "--image, --policy and --waive may be given several times. Dates are days (expires: their "
    "end,\n"
    "UTC) or times such as 2026-12-15T12:00:00Z. revoke ends an exception now and keeps its "
    "entry.\n"
    "\n"
    "--tenant names whose register is meant: that of the main file by default; list shows all.\n"
    "\n"
    "Exit status: 0 done, 2 wrong usage, or the register would not be valid.\n";

struct exceptions_options {
    const char *config;
    const char *tenant;
    const char *id;
    const char *images[EXCEPTIONS_MAX_ITEMS];
    size_t image_count;
    const char *policies[EXCEPTIONS_MAX_ITEMS];
    size_t policy_count;
    const char *waive[EXCEPTIONS_MAX_ITEMS];
    size_t waive_count;
    const char *owner, *approved_by, *justification, *control, *created, *expires, *by;
    bool is_json;
};

/* ---- list ---- */

static void exceptions_put_time(struct text *out, int64_t unix_s, bool is_json)
{
    text_put(out, is_json ? "\"" : "");
    text_put_time(out, unix_s);
    text_put(out, is_json ? "\"" : "");
}

/* What the running gateway says about one, as members of its object. */
static void exceptions_put_seen_json(struct text *out, const json_t *seen)
{
    static const char *const names[] = {"uses", "last_used", "verifies"};

    for (size_t i = 0; seen != NULL && i < GH_COUNT(names); i++) {
        char *value = json_dumps(json_object_get(seen, names[i]), JSON_ENCODE_ANY | JSON_COMPACT);

        text_put_key(out, names[i]);
        text_put(out, value != NULL ? value : "null");
        free(value);
    }
}

static void exceptions_put_json(struct text *out, const struct snapshot *snapshot,
                                const struct exception *exception, const json_t *seen, int64_t now)
{
    text_put(out, "{\"tenant\":");
    text_put_json(out, snapshot->tenant);
    text_put(out, ",\"id\":");
    text_put_json(out, exception->id);
    text_printf(out, ",\"in_force\":%s,\"days_left\":%lld,\"renewals\":%zu,\"expires\":",
                exception_in_force(exception, now) ? "true" : "false",
                (long long)exception_days_left(exception, now), exception->renewal_count);
    exceptions_put_time(out, exception->expires_unix_s, true);
    text_put(out, ",\"owner\":");
    text_put_json(out, exception->owner);
    text_put(out, ",\"approved_by\":");
    text_put_json(out, exception->approved_by);
    text_put(out, ",\"justification\":");
    text_put_json(out, exception->justification);
    text_put(out, ",\"images\":[");
    for (size_t i = 0; i < exception->image_count; i++) {
        text_put(out, i == 0 ? "" : ",");
        image_pattern_put_json(out, &exception->images[i]);
    }
    text_put(out, "],\"policies\":[");
    for (size_t i = 0; i < exception->policy_count; i++) {
        text_put(out, i == 0 ? "" : ",");
        text_put_json(out, snapshot->policies[exception->policies[i]].name);
    }
    if (exception->is_for_uncovered) {
        text_put(out, exception->policy_count == 0 ? "\"not_covered\"" : ",\"not_covered\"");
    }
    text_put(out, "]");
    exceptions_put_seen_json(out, seen);
    text_put(out, "}");
}

static void exceptions_put_text(struct text *out, const struct snapshot *snapshot,
                                const struct exception *exception, int64_t now)
{
    bool is_ended = exception->expires_unix_s <= now;

    text_printf(out, "%s  %s ", exception->id,
                is_ended                             ? "expired"
                : exception_in_force(exception, now) ? "until"
                                                     : "not yet, until");
    exceptions_put_time(out, exception->expires_unix_s, false);
    if (!is_ended) {
        text_printf(out, " (%lld days)", (long long)exception_days_left(exception, now));
    }
    text_printf(out, "  owner %s, approved by %s, renewed %zu times\n", exception->owner,
                exception->approved_by, exception->renewal_count);
    for (size_t i = 0; i < exception->image_count; i++) {
        char digest[DIGEST_MAX_TEXT] = "";

        if (exception->images[i].digest.alg != DIGEST_NONE) {
            digest_format(&exception->images[i].digest, digest);
        }
        text_printf(out, "  image %s%s%s\n", exception->images[i].text,
                    digest[0] == '\0' ? "" : "@", digest);
    }
    for (size_t i = 0; i < exception->policy_count; i++) {
        text_printf(out, "  from policy %s\n", snapshot->policies[exception->policies[i]].name);
    }
    for (size_t i = 0; i < exception->waive_count; i++) {
        text_printf(out, "  waives %s\n", exception->waive[i]);
    }
    text_printf(out, "  because %s\n", exception->justification);
}

/* What the running gateway says about one: NULL where none runs. */
static const json_t *exceptions_seen(const json_t *list, const struct snapshot *snapshot,
                                     const struct exception *exception)
{
    const json_t *item;
    size_t index;

    json_array_foreach (list, index, item) {
        const char *tenant = json_string_value(json_object_get(item, "tenant"));
        const char *id = json_string_value(json_object_get(item, "id"));

        if (tenant != NULL && id != NULL && strcmp(tenant, snapshot->tenant) == 0 &&
            strcmp(id, exception->id) == 0) {
            return item;
        }
    }
    return NULL;
}

static void exceptions_put_seen(struct text *out, const json_t *seen)
{
    const char *last = json_string_value(json_object_get(seen, "last_used"));

    if (seen == NULL) {
        return;
    }
    if (last == NULL) {
        text_put(out, "  never used, as far as the gateway knows\n");
    } else {
        text_printf(out, "  last used %.40s, %lld times since the gateway started\n", last,
                    (long long)json_integer_value(json_object_get(seen, "uses")));
    }
    if (json_is_true(json_object_get(seen, "verifies"))) {
        text_put(out, "  its images satisfy policy without it: it can be closed\n");
    }
}

static json_t *exceptions_ask(const struct config *config, json_t **doc)
{
    GH_OWN(bytes_buf_done) struct bytes_buf answer = {0};
    struct gh_error err = {0};
    json_t *list = NULL;

    if (!admin_call_get(config, "/v1/exceptions", &answer) ||
        !sjson_parse_object(bytes_view(&answer), ADMIN_CALL_MAX_BYTES, doc, &err) ||
        !sjson_opt_array(*doc, "exceptions", &list, &err)) {
        return NULL;
    }
    return list;
}

static int exceptions_list(const struct config *config, const struct exceptions_options *options)
{
    int64_t now = (int64_t)time(NULL);
    GH_OWN(sjson_freep) json_t *doc = NULL;
    const json_t *list = exceptions_ask(config, &doc);
    bool is_first = true;
    struct text out;
    int status;

    text_init(&out, CONFIG_MAX_FILE_BYTES);
    text_put(&out, options->is_json ? "{\"exceptions\":[" : "");
    for (size_t t = 0; t < config->tenant_count; t++) {
        const struct snapshot *snapshot = &config->tenants[t].snapshot;

        if (options->tenant != NULL && strcmp(options->tenant, snapshot->tenant) != 0) {
            continue;
        }
        for (size_t i = 0; i < snapshot->exception_count; i++) {
            const json_t *seen = exceptions_seen(list, snapshot, &snapshot->exceptions[i]);

            if (options->is_json) {
                text_put(&out, is_first ? "" : ",");
                exceptions_put_json(&out, snapshot, &snapshot->exceptions[i], seen, now);
            } else {
                exceptions_put_text(&out, snapshot, &snapshot->exceptions[i], now);
                exceptions_put_seen(&out, seen);
            }
            is_first = false;
        }
    }
    text_put(&out, options->is_json ? "]}\n" : "");
    status = text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0 ? 0 : 2;
    text_done(&out);
    return status;
}

/* ---- edits ---- */

/* The file system, with other content for one file. */
struct exceptions_overlay {
    struct config_loader below;
    const char *path;
    struct bytes content;
};

static bool exceptions_on_read(void *context, const char *path, size_t limit, struct bytes_buf *out,
                               unsigned *mode, struct gh_error *err)
{
    const struct exceptions_overlay *overlay = context;

    if (strcmp(path, overlay->path) != 0) {
        return overlay->below.read(overlay->below.context, path, limit, out, mode, err);
    }
    *mode = 0600;
    return overlay->content.len <= limit
               ? bytes_dup(overlay->content, out, err)
               : gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the register is too large");
}

static const char *exceptions_on_env(void *context, const char *name)
{
    const struct exceptions_overlay *overlay = context;

    return overlay->below.env(overlay->below.context, name);
}

/* The edited register must load, and hold as many entries as it should. */
static bool exceptions_verify(const char *config_path, const struct config_tenant *tenant,
                              struct bytes content, size_t wanted)
{
    struct config_files files = {.tuf = trust_held_load};
    struct exceptions_overlay overlay = {.path = tenant->exceptions_file, .content = content};
    struct config_loader loader = {
        .context = &overlay, .read = exceptions_on_read, .env = exceptions_on_env};
    struct config_problems problems;
    const struct config_tenant *made;
    struct config *config = NULL;
    struct gh_error err = {0};
    bool is_good;

    config_files_loader(&files, &overlay.below);
    is_good = config_load(&loader, config_path, (int64_t)time(NULL), &config, &problems, &err);
    config_files_print(&problems, false);
    config_problems_done(&problems);
    made = is_good ? config_tenant_find(config, tenant->name) : NULL;
    if (is_good && (made == NULL || made->snapshot.exception_count != wanted)) {
        (void)fprintf(stderr, "gatehouse exceptions: the register is laid out in a way that "
                              "cannot be edited; edit it by hand\n");
        is_good = false;
    }
    config_unref(config);
    return is_good;
}

static bool exceptions_write(int fd, struct bytes content)
{
    while (content.len > 0) {
        ssize_t done = write(fd, content.data, content.len);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return false;
        }
        content = bytes_slice(content, (size_t)done, SIZE_MAX);
    }
    return fsync(fd) == 0;
}

static bool exceptions_sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int fd;
    bool is_done;

    (void)snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
                   slash == NULL ? "." : path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    is_done = fsync(fd) == 0;
    (void)close(fd);
    return is_done;
}

/* New content beside the file, then in its place: readers see the old register or the new one. */
static bool exceptions_replace(const char *path, unsigned mode, struct bytes content)
{
    char staged[4096];
    int fd;

    if ((size_t)snprintf(staged, sizeof(staged), "%s.XXXXXX", path) >= sizeof(staged)) {
        return false;
    }
    fd = mkostemp(staged, O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (!exceptions_write(fd, content) || fchmod(fd, (mode_t)mode) != 0) {
        (void)close(fd);
        (void)unlink(staged);
        return false;
    }
    if (close(fd) != 0 || rename(staged, path) != 0) {
        (void)unlink(staged);
        return false;
    }
    return exceptions_sync_folder(path);
}

static void exceptions_moment(int64_t unix_s, char *out, size_t size)
{
    struct text text;

    text_init(&text, 64);
    text_put_time(&text, unix_s);
    (void)snprintf(out, size, "%s", text_cstr(&text));
    text_done(&text);
}

static bool exceptions_edit(const char *verb, const struct exceptions_options *options,
                            struct bytes file, struct text *out, struct gh_error *err)
{
    char now[64];

    exceptions_moment((int64_t)time(NULL), now, sizeof(now));
    if (strcmp(verb, "add") == 0) {
        char today[64];
        struct exception_draft draft = {
            .id = options->id,
            .images = {(const char **)options->images, options->image_count},
            .policies = {(const char **)options->policies, options->policy_count},
            .waive = {(const char **)options->waive, options->waive_count},
            .owner = options->owner,
            .approved_by = options->approved_by,
            .justification = options->justification,
            .compensating_control = options->control,
            .created = options->created,
            .expires = options->expires};

        (void)snprintf(today, sizeof(today), "%.10s", now);
        draft.created = draft.created == NULL ? today : draft.created;
        return exception_edit_add(file, &draft, out, err);
    }
    if (strcmp(verb, "renew") == 0) {
        return exception_edit_renew(file, options->id, now, options->by, options->expires, out,
                                    err);
    }
    /* A second from now: the end lies behind a renewal that was made this second. */
    exceptions_moment((int64_t)time(NULL) + 1, now, sizeof(now));
    return exception_edit_expire(file, options->id, now, out, err);
}

/* What has ended is not ended anew: that would write another end into its record. ID is there:
 * exceptions_is_complete(). */
static bool exceptions_has_ended(const struct config_tenant *tenant, const char *id)
{
    assert(id != NULL);
    for (size_t i = 0; i < tenant->snapshot.exception_count; i++) {
        const struct exception *exception = &tenant->snapshot.exceptions[i];

        if (strcmp(exception->id, id) == 0) {
            return exception->expires_unix_s <= (int64_t)time(NULL) + 1;
        }
    }
    return false;
}

static int exceptions_change(const char *verb, const struct config *config,
                             const struct exceptions_options *options)
{
    const struct config_tenant *tenant =
        config_tenant_find(config, options->tenant != NULL ? options->tenant : "default");
    size_t wanted = tenant->snapshot.exception_count + (strcmp(verb, "add") == 0 ? 1 : 0);
    struct bytes_buf file = {0};
    struct gh_error err = {0};
    struct text out;
    unsigned mode = 0;
    int status = 2;

    if (tenant->exceptions_file == NULL) {
        (void)fprintf(stderr, "gatehouse exceptions: %s names no exceptions register\n",
                      tenant->file);
        return 2;
    }
    if (strcmp(verb, "revoke") == 0 && exceptions_has_ended(tenant, options->id)) {
        (void)fprintf(stderr, "gatehouse exceptions: %s has ended already; nothing was changed\n",
                      options->id);
        return 2;
    }
    if (!config_files_read(tenant->exceptions_file, CONFIG_MAX_FILE_BYTES, &file, &mode, &err)) {
        (void)fprintf(stderr, "gatehouse exceptions: %s\n", err.text);
        return 2;
    }
    text_init(&out, CONFIG_MAX_FILE_BYTES);
    if (!exceptions_edit(verb, options, bytes_view(&file), &out, &err)) {
        (void)fprintf(stderr, "gatehouse exceptions: %s\n", err.text);
    } else if (!exceptions_verify(options->config, tenant, bytes_make(out.data, out.len), wanted)) {
        (void)fprintf(stderr, "gatehouse exceptions: nothing was changed\n");
    } else if (!exceptions_replace(tenant->exceptions_file, mode, bytes_make(out.data, out.len))) {
        (void)fprintf(stderr, "gatehouse exceptions: %s cannot be replaced\n",
                      tenant->exceptions_file);
    } else {
        (void)printf("%s: %s %s\n", tenant->exceptions_file,
                     strcmp(verb, "add") == 0     ? "added"
                     : strcmp(verb, "renew") == 0 ? "renewed"
                                                  : "revoked",
                     options->id);
        status = 0;
    }
    text_done(&out);
    bytes_buf_done(&file);
    return status;
}

/* ---- arguments ---- */

static bool exceptions_push(const char **items, size_t *count, const char *item)
{
    if (*count == EXCEPTIONS_MAX_ITEMS) {
        return false;
    }
    items[(*count)++] = item;
    return true;
}

static bool exceptions_option(struct exceptions_options *options, int option, const char *value)
{
    switch (option) {
    case 'c':
        options->config = value;
        return true;
    case 't':
        options->tenant = value;
        return true;
    case 'i':
        options->id = value;
        return true;
    case 'm':
        return exceptions_push(options->images, &options->image_count, value);
    case 'p':
        return exceptions_push(options->policies, &options->policy_count, value);
    case 'w':
        return exceptions_push(options->waive, &options->waive_count, value);
    case 'o':
        options->owner = value;
        return true;
    case 'a':
        options->approved_by = value;
        return true;
    case 'j':
        options->justification = value;
        return true;
    case 'k':
        options->control = value;
        return true;
    case 'd':
        options->created = value;
        return true;
    case 'e':
        options->expires = value;
        return true;
    case 'b':
        options->by = value;
        return true;
    case 'f':
        options->is_json = strcmp(value, "json") == 0;
        return options->is_json || strcmp(value, "text") == 0;
    default:
        return false;
    }
}

static bool exceptions_is_complete(const char *verb, const struct exceptions_options *options)
{
    if (options->config == NULL) {
        return false;
    }
    if (strcmp(verb, "list") == 0) {
        return true;
    }
    if (strcmp(verb, "add") == 0) {
        return options->id != NULL && options->image_count > 0 && options->policy_count > 0 &&
               options->owner != NULL && options->approved_by != NULL &&
               options->justification != NULL && options->expires != NULL;
    }
    if (strcmp(verb, "renew") == 0) {
        return options->id != NULL && options->by != NULL && options->expires != NULL;
    }
    return strcmp(verb, "revoke") == 0 && options->id != NULL;
}

int command_exceptions(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'},  {"tenant", required_argument, NULL, 't'},
        {"id", required_argument, NULL, 'i'},      {"image", required_argument, NULL, 'm'},
        {"policy", required_argument, NULL, 'p'},  {"waive", required_argument, NULL, 'w'},
        {"owner", required_argument, NULL, 'o'},   {"approved-by", required_argument, NULL, 'a'},
        {"by", required_argument, NULL, 'b'},      {"justification", required_argument, NULL, 'j'},
        {"control", required_argument, NULL, 'k'}, {"created", required_argument, NULL, 'd'},
        {"expires", required_argument, NULL, 'e'}, {"output", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    struct exceptions_options options = {0};
    struct config_files files = {.tuf = trust_held_load};
    struct config *config = NULL;
    const char *verb = argc > 1 ? argv[1] : "";
    int option;
    int status;

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        (void)fputs(exceptions_usage, stdout);
        return 0;
    }
    optind = 2;
    while (argc > 1 && (option = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
        if (option == 'h' || !exceptions_option(&options, option, optarg)) {
            (void)fputs(exceptions_usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    if (!exceptions_is_complete(verb, &options) || optind != argc) {
        (void)fputs(exceptions_usage, stderr);
        return 2;
    }
    if (!config_files_load(&files, options.config, (int64_t)time(NULL), false, &config)) {
        return 2;
    }
    if (options.tenant != NULL && config_tenant_find(config, options.tenant) == NULL) {
        (void)fprintf(stderr, "gatehouse exceptions: there is no tenant called %.128s\n",
                      options.tenant);
        config_unref(config);
        return 2;
    }
    status = strcmp(verb, "list") == 0 ? exceptions_list(config, &options)
                                       : exceptions_change(verb, config, &options);
    config_unref(config);
    return status;
}
