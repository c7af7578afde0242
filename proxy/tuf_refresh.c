#include "proxy/tuf_refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/tuf_fetch.h"
#include "proxy/tuf_state.h"

#define REFRESH_TIME_MAX 24

static void refresh_str_freep(char **string)
{
    free(*string);
}

/* Where the target is kept: roles end in .json, so no role can have this name. */
static bool refresh_target_name(const struct tuf_refresh *refresh, char **out, struct gh_error *err)
{
    GH_OWN(refresh_str_freep) char *escaped = NULL;

    GH_TRY(
        tuf_path_escape(bytes_of(refresh->target), false, TUF_FILE_MAX_BYTES - 7, &escaped, err));
    if (asprintf(out, "%s.target", escaped) < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    return true;
}

/* Put the initial root into a folder that has none yet. */
static bool refresh_begin(const struct tuf_refresh *refresh, struct tuf_state *state,
                          struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf root = {0};
    bool found;

    GH_TRY(tuf_state_read(state, "root.json", TUF_MAX_ROOT_BYTES, &root, &found, err));
    return found || tuf_state_store(state, "root.json", refresh->initial_root, err);
}

static bool refresh_note_time(struct tuf_state *state, int64_t now_unix_s, struct gh_error *err)
{
    char text[REFRESH_TIME_MAX];

    (void)snprintf(text, sizeof(text), "%lld\n", (long long)now_unix_s);
    return tuf_state_store(state, TUF_REFRESH_TIME_NAME, bytes_of(text), err);
}

static int64_t refresh_read_time(struct tuf_state *state)
{
    GH_OWN(bytes_buf_done) struct bytes_buf text = {0};
    struct gh_error ignored = {0};
    int64_t seconds = 0;
    bool found = false;

    if (!tuf_state_read(state, TUF_REFRESH_TIME_NAME, REFRESH_TIME_MAX, &text, &found, &ignored)) {
        return 0;
    }
    for (size_t i = 0; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        if (__builtin_mul_overflow(seconds, (int64_t)10, &seconds) ||
            __builtin_add_overflow(seconds, (int64_t)(text.data[i] - '0'), &seconds)) {
            return 0;
        }
    }
    return seconds;
}

static bool refresh_new_fetch(const struct tuf_refresh *refresh, struct tuf_fetch **out,
                              struct gh_error *err)
{
    GH_OWN(refresh_str_freep) char *targets_url = NULL;
    size_t len = strlen(refresh->url);

    while (len > 0 && refresh->url[len - 1] == '/') {
        len--;
    }
    if (asprintf(&targets_url, "%.*s/targets", (int)len, refresh->url) < 0) {
        targets_url = NULL;
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    return tuf_fetch_new(refresh->url, targets_url, out, err);
}

/* The target: what the folder has where that is still current, else fetched and kept. */
static bool refresh_target(const struct tuf_refresh *refresh, struct tuf_fetch *fetch,
                           struct tuf_state *state, struct tuf_client *client,
                           struct bytes_buf *out, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf held = {0};
    GH_OWN(bytes_buf_done) struct bytes_buf fetched = {0};
    GH_OWN(refresh_str_freep) char *name = NULL;
    bool found, is_fetched = false;
    struct bytes view;

    GH_TRY(refresh_target_name(refresh, &name, err));
    GH_TRY(tuf_state_read(state, name, TUF_MAX_TARGET_BYTES, &held, &found, err));
    view = bytes_view(&held);
    GH_TRY(tuf_client_find(client, bytes_of(refresh->target), err));
    GH_TRY(tuf_fetch_drive(fetch, state, client, found ? &view : NULL, &fetched, &is_fetched, err));
    if (is_fetched) {
        GH_TRY(tuf_state_store(state, name, bytes_view(&fetched), err));
        *out = fetched;
        fetched = (struct bytes_buf){0};
        return true;
    }
    *out = held;
    held = (struct bytes_buf){0};
    return true;
}

bool tuf_refresh_run(const struct tuf_refresh *refresh, struct bytes_buf *out,
                     struct tuf_status *status, struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *state = NULL;
    GH_OWN(tuf_fetch_freep) struct tuf_fetch *fetch = NULL;
    GH_OWN(tuf_client_freep) struct tuf_client *client = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf target = {0};

    GH_TRY(tuf_state_open(refresh->folder, true, &state, err));
    GH_TRY(refresh_begin(refresh, state, err));
    GH_TRY(refresh_new_fetch(refresh, &fetch, err));
    tuf_fetch_watch(fetch, refresh->stop);
    GH_TRY(tuf_client_new(refresh->now_unix_s, &client, err));
    GH_TRY(tuf_fetch_drive(fetch, state, client, NULL, NULL, NULL, err));
    GH_TRY(refresh_target(refresh, fetch, state, client, &target, err));
    GH_TRY(refresh_note_time(state, refresh->now_unix_s, err));
    tuf_client_status(client, status);
    *out = target;
    target = (struct bytes_buf){0};
    return true;
}

/* Answer from the folder alone: no newer root, the timestamp that is held, nothing else. */
static bool refresh_answer_held(struct tuf_state *state, const struct tuf_request *request,
                                const char *target, struct bytes_buf *out, bool *found,
                                struct gh_error *err)
{
    *found = false;
    switch (request->kind) {
    case TUF_READ:
        return tuf_state_read(state, request->name, request->limit_bytes, out, found, err);
    case TUF_FETCH:
        if (strcmp(request->path, "timestamp.json") == 0) {
            return tuf_state_read(state, request->name, request->limit_bytes, out, found, err);
        }
        return true;
    case TUF_TARGET:
        return tuf_state_read(state, target, request->limit_bytes, out, found, err);
    case TUF_STORE:
    case TUF_FORGET:
    case TUF_IDLE:
        return true;
    }
    return true;
}

static bool refresh_drive_held(struct tuf_state *state, struct tuf_client *client,
                               const char *target, struct bytes_buf *out, struct gh_error *err)
{
    struct tuf_request request;

    for (tuf_client_next(client, &request); request.kind != TUF_IDLE;
         tuf_client_next(client, &request)) {
        GH_OWN(bytes_buf_done) struct bytes_buf content = {0};
        bool is_target = request.kind == TUF_TARGET;
        struct bytes view;
        bool found;

        GH_TRY(refresh_answer_held(state, &request, target, &content, &found, err));
        view = bytes_view(&content);
        GH_TRY(tuf_client_answer(client, found ? &view : NULL, err));
        if (is_target && out != NULL) {
            *out = content;
            content = (struct bytes_buf){0};
        }
    }
    return true;
}

bool tuf_refresh_held(const struct tuf_refresh *refresh, struct bytes_buf *out,
                      struct tuf_status *status, int64_t *refreshed_unix_s, struct gh_error *err)
{
    GH_OWN(tuf_state_closep) struct tuf_state *state = NULL;
    GH_OWN(tuf_client_freep) struct tuf_client *client = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf target = {0};
    GH_OWN(refresh_str_freep) char *name = NULL;

    GH_TRY(refresh_target_name(refresh, &name, err));
    GH_TRY(tuf_state_open(refresh->folder, true, &state, err));
    /* the beginning of time: nothing has ended, the caller judges ages */
    GH_TRY(tuf_client_new(INT64_MIN, &client, err));
    GH_TRY(refresh_drive_held(state, client, name, NULL, err));
    GH_TRY(tuf_client_find(client, bytes_of(refresh->target), err));
    GH_TRY(refresh_drive_held(state, client, name, &target, err));
    tuf_client_status(client, status);
    *refreshed_unix_s = refresh_read_time(state);
    *out = target;
    target = (struct bytes_buf){0};
    return true;
}
