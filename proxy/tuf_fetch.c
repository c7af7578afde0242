#include "proxy/tuf_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

struct tuf_fetch {
    char *metadata_url; /* without a slash at the end */
    char *targets_url;
    bool is_loopback; /* both are: a proxy for the world outside does not apply */
    CURL *curl;
    const int *stop; /* may be NULL */
};

/* What one transfer collects. */
struct fetch_body {
    struct bytes_buf content;
    size_t capacity;
    size_t limit; /* one more byte than this is kept, then the transfer ends */
    bool is_cut;
};

static void fetch_curlu_freep(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void fetch_curl_str_freep(char **string)
{
    curl_free(*string);
}

static void fetch_str_freep(char **string)
{
    free(*string);
}

static void fetch_body_done(struct fetch_body *body)
{
    bytes_buf_done(&body->content);
}

static void fetch_file_close(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

static bool fetch_is_file(const char *url)
{
    return strncmp(url, "file://", 7) == 0;
}

/* A copy of a base URL without slashes at its end, once it is one that we may use. */
static bool fetch_base(const char *url, char **out, struct gh_error *err)
{
    GH_OWN(fetch_curlu_freep) CURLU *parsed = curl_url();
    GH_OWN(fetch_curl_str_freep) char *scheme = NULL;
    GH_OWN(fetch_curl_str_freep) char *user = NULL;
    size_t len = strlen(url);

    if (parsed == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (len > TUF_FETCH_MAX_URL_BYTES / 2 ||
        curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0 &&
         strcmp(scheme, "file") != 0)) {
        return gh_fail(err, GH_POLICY_DENIED, "'%.120s' is no http, https or file URL", url);
    }
    if (curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        return gh_fail(err, GH_POLICY_DENIED, "a TUF repository's URL may not hold credentials");
    }
    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    *out = strndup(url, len);
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
}

static bool fetch_is_loopback(const char *url)
{
    GH_OWN(fetch_curlu_freep) CURLU *parsed = curl_url();
    GH_OWN(fetch_curl_str_freep) char *host = NULL;

    return parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
           curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
           (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
            strcmp(host, "[::1]") == 0);
}

bool tuf_fetch_new(const char *metadata_url, const char *targets_url, struct tuf_fetch **out,
                   struct gh_error *err)
{
    GH_OWN(tuf_fetch_freep) struct tuf_fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    GH_TRY(fetch_base(metadata_url, &fetch->metadata_url, err));
    GH_TRY(fetch_base(targets_url, &fetch->targets_url, err));
    fetch->is_loopback =
        fetch_is_loopback(fetch->metadata_url) && fetch_is_loopback(fetch->targets_url);
    fetch->curl = curl_easy_init();
    if (fetch->curl == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    *out = GH_TAKE(fetch);
    return true;
}

void tuf_fetch_free(struct tuf_fetch *fetch)
{
    if (fetch == NULL) {
        return;
    }
    curl_easy_cleanup(fetch->curl);
    free(fetch->metadata_url);
    free(fetch->targets_url);
    free(fetch);
}

static size_t fetch_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_body *body = arg;
    size_t len = size * count;
    size_t room = body->limit + 1 - body->content.len;

    if (len >= room) {
        body->is_cut = len > room || room == 0;
        len = GH_MIN(len, room);
    }
    if (body->content.len + len > body->capacity) {
        size_t capacity =
            GH_MAX(body->content.len + len, GH_MIN(body->capacity * 2, body->limit + 1));
        uint8_t *grown = realloc(body->content.data, capacity);

        if (grown == NULL) {
            return 0;
        }
        body->content.data = grown;
        body->capacity = capacity;
    }
    if (len > 0) {
        memcpy(body->content.data + body->content.len, data, len);
        body->content.len += len;
    }
    return body->is_cut ? 0 : size * count;
}

void tuf_fetch_watch(struct tuf_fetch *fetch, const int *stop)
{
    fetch->stop = stop;
}

static int fetch_on_progress(void *arg, curl_off_t to_get, curl_off_t got, curl_off_t to_put,
                             curl_off_t put)
{
    const struct tuf_fetch *fetch = arg;

    return fetch->stop != NULL && __atomic_load_n(fetch->stop, __ATOMIC_RELAXED) != 0 ? 1 : 0;
}

static bool fetch_set_options(const struct tuf_fetch *fetch, const char *url,
                              struct fetch_body *body)
{
    CURL *curl = fetch->curl;

    curl_easy_reset(curl);
    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           (!fetch->is_loopback || curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK) &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, fetch_on_progress) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, (void *)fetch) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)TUF_FETCH_CONNECT_TIMEOUT_MS) ==
               CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TUF_FETCH_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "gatehouse/" GATEHOUSE_VERSION) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, fetch_on_data) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK;
}

static bool fetch_same_part(CURLU *a, CURLU *b, CURLUPart part, unsigned flags)
{
    GH_OWN(fetch_curl_str_freep) char *left = NULL;
    GH_OWN(fetch_curl_str_freep) char *right = NULL;

    return curl_url_get(a, part, &left, flags) == CURLUE_OK &&
           curl_url_get(b, part, &right, flags) == CURLUE_OK && strcasecmp(left, right) == 0;
}

/* Scheme, host and port agree: a repository may move files about, not send us elsewhere. */
static bool fetch_same_origin(const char *from, const char *to)
{
    GH_OWN(fetch_curlu_freep) CURLU *a = curl_url();
    GH_OWN(fetch_curlu_freep) CURLU *b = curl_url();

    return a != NULL && b != NULL && curl_url_set(a, CURLUPART_URL, from, 0) == CURLUE_OK &&
           curl_url_set(b, CURLUPART_URL, to, 0) == CURLUE_OK &&
           fetch_same_part(a, b, CURLUPART_SCHEME, 0) && fetch_same_part(a, b, CURLUPART_HOST, 0) &&
           fetch_same_part(a, b, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

enum fetch_answer { FETCH_FAILED = 0, FETCH_FOUND, FETCH_ABSENT, FETCH_MOVED };

/* One request. *next: where it moved to, borrowed from the handle. */
static enum fetch_answer fetch_once(struct tuf_fetch *fetch, const char *url,
                                    struct fetch_body *body, char **next, struct gh_error *err)
{
    CURLcode code;
    long status = 0;

    body->content.len = 0;
    body->is_cut = false;
    if (!fetch_set_options(fetch, url, body)) {
        (void)gh_fail(err, GH_INTERNAL_ERROR, "cannot set up a request for %.120s", url);
        return FETCH_FAILED;
    }
    code = curl_easy_perform(fetch->curl);
    (void)curl_easy_getinfo(fetch->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && body->is_cut)) {
        (void)gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "GET %.120s: %s", url,
                      curl_easy_strerror(code));
        return FETCH_FAILED;
    }
    if (status == 200) {
        return FETCH_FOUND;
    }
    /* object stores that may not be listed say 403 of what they do not have */
    if (status == 404 || status == 403 || status == 410) {
        return FETCH_ABSENT;
    }
    if (status / 100 == 3 &&
        curl_easy_getinfo(fetch->curl, CURLINFO_REDIRECT_URL, next) == CURLE_OK && *next != NULL) {
        return FETCH_MOVED;
    }
    (void)gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "GET %.120s: HTTP status %ld", url, status);
    return FETCH_FAILED;
}

static bool fetch_http(struct tuf_fetch *fetch, const char *first, struct fetch_body *body,
                       bool *found, struct gh_error *err)
{
    GH_OWN(fetch_str_freep) char *url = strdup(first);

    for (int hop = 0; url != NULL && hop <= TUF_FETCH_MAX_REDIRECTS; hop++) {
        char *next = NULL;
        enum fetch_answer answer = fetch_once(fetch, url, body, &next, err);

        if (answer != FETCH_MOVED) {
            *found = answer == FETCH_FOUND;
            return answer != FETCH_FAILED;
        }
        if (!fetch_same_origin(url, next)) {
            return gh_fail(err, GH_UPSTREAM_UNAVAILABLE,
                           "%.90s redirects to %.90s; only redirects within one host are followed",
                           url, next);
        }
        free(url);
        url = strdup(next);
    }
    return gh_fail(err, url == NULL ? GH_INTERNAL_ERROR : GH_UPSTREAM_UNAVAILABLE,
                   "%.120s: out of memory, or more than %d redirects", first,
                   TUF_FETCH_MAX_REDIRECTS);
}

/* The path of a file URL. A segment whose decoded form is no plain name stays as it is. */
static bool fetch_file_path(const char *url, char out[TUF_FETCH_MAX_URL_BYTES],
                            struct gh_error *err)
{
    struct bytes rest = bytes_of(url + strlen("file://"));
    struct bytes segment;
    size_t used = 0;
    bool is_last = false;

    /* file://localhost/path is file:///path */
    if (bytes_starts_with(rest, BYTES_LITERAL("localhost/"))) {
        rest = bytes_slice(rest, strlen("localhost"), SIZE_MAX);
    }
    while (!is_last) {
        GH_OWN(fetch_curl_str_freep) char *decoded = NULL;
        int len = 0;
        bool is_plain;

        is_last = !bytes_split(&rest, '/', &segment);
        segment = is_last ? rest : segment;
        decoded = curl_easy_unescape(NULL, (const char *)segment.data, (int)segment.len, &len);
        is_plain = decoded != NULL && memchr(decoded, '/', (size_t)len) == NULL &&
                   memchr(decoded, '\0', (size_t)len) == NULL && strcmp(decoded, "..") != 0;
        if (used + segment.len + 2 > TUF_FETCH_MAX_URL_BYTES) {
            return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a file URL is too long");
        }
        used += (size_t)snprintf(
            out + used, TUF_FETCH_MAX_URL_BYTES - used, "%.*s%s", is_plain ? len : (int)segment.len,
            is_plain ? decoded : (const char *)segment.data, is_last ? "" : "/");
    }
    return true;
}

static bool fetch_file(const char *url, struct fetch_body *body, bool *found, struct gh_error *err)
{
    char path[TUF_FETCH_MAX_URL_BYTES];
    GH_OWN(fetch_file_close) FILE *file = NULL;
    char block[65536];
    struct stat info;
    size_t got;

    GH_TRY(fetch_file_path(url, path, err));
    *found = false;
    if (stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR)) {
        return true;
    }
    file = S_ISREG(info.st_mode) ? fopen(path, "rbe") : NULL;
    if (file == NULL) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "cannot read %.120s", path);
    }
    do {
        got = fread(block, 1, sizeof(block), file);
    } while (got > 0 && fetch_on_data(block, 1, got, body) == got);
    if (ferror(file) || (got > 0 && !body->is_cut)) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "cannot read %.120s", path);
    }
    *found = true;
    return true;
}

static bool fetch_get(struct tuf_fetch *fetch, const char *base, const char *path, size_t limit,
                      struct bytes_buf *out, bool *found, struct gh_error *err)
{
    GH_OWN(fetch_body_done) struct fetch_body body = {.limit = limit};
    char url[TUF_FETCH_MAX_URL_BYTES];

    if ((size_t)snprintf(url, sizeof(url), "%s/%s", base, path) >= sizeof(url)) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a URL is longer than %d bytes",
                       TUF_FETCH_MAX_URL_BYTES);
    }
    GH_TRY(fetch_is_file(base) ? fetch_file(url, &body, found, err)
                               : fetch_http(fetch, url, &body, found, err));
    *out = body.content;
    body.content = (struct bytes_buf){0};
    return true;
}

/* Do what the client asks for. *out and *found are its answer. */
static bool fetch_act(struct tuf_fetch *fetch, struct tuf_state *state,
                      const struct tuf_request *request, struct bytes_buf *out, bool *found,
                      struct gh_error *err)
{
    *found = false;
    switch (request->kind) {
    case TUF_READ:
        return tuf_state_read(state, request->name, request->limit_bytes, out, found, err);
    case TUF_FETCH:
        return fetch_get(fetch, fetch->metadata_url, request->path, request->limit_bytes, out,
                         found, err);
    case TUF_STORE:
        return tuf_state_store(state, request->name, request->content, err);
    case TUF_FORGET:
        return tuf_state_forget(state, request->name, err);
    case TUF_TARGET:
        return fetch_get(fetch, fetch->targets_url, request->path, request->limit_bytes, out, found,
                         err);
    case TUF_IDLE:
        break;
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "a request of no known kind");
}

bool tuf_fetch_drive(struct tuf_fetch *fetch, struct tuf_state *state, struct tuf_client *client,
                     const struct bytes *held, struct bytes_buf *target, bool *is_fetched,
                     struct gh_error *err)
{
    struct tuf_request request;

    for (tuf_client_next(client, &request); request.kind != TUF_IDLE;
         tuf_client_next(client, &request)) {
        GH_OWN(bytes_buf_done) struct bytes_buf content = {0};
        bool is_target = request.kind == TUF_TARGET;
        struct bytes view;
        bool found;

        if (is_target && held != NULL && tuf_client_is_target(client, *held)) {
            return tuf_client_answer(client, held, err);
        }
        GH_TRY(fetch_act(fetch, state, &request, &content, &found, err));
        view = bytes_view(&content);
        GH_TRY(tuf_client_answer(client, found ? &view : NULL, err));
        if (is_target && target != NULL) {
            *target = content;
            *is_fetched = true;
            content = (struct bytes_buf){0};
        }
    }
    return true;
}
