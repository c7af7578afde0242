/*
 * One HTTP exchange over libcurl: options, the rules about addresses at the socket, and curl's
 * callbacks. What the answer means is upstream_request.c's business.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "metrics/prom.h"
#include "proxy/address.h"
#include "proxy/upstream_client.h"

#define HOP_STREAM_BUFFER (256L * 1024)
#define HOP_MAX_HEADER_VALUE 8192
#define HOP_FIRST_BODY_CAPACITY 4096

/* --- where a connection may go --- */

static bool hop_is_named(const struct upstream_request *request)
{
    return request->has_origin &&
           upstream_redirect_is_named(&request->upstream->config, &request->upstream->origin,
                                      &request->origin);
}

static bool hop_refuse(struct upstream_request *request, enum address_kind kind, const char *host)
{
    request->refusal_outcome = UPSTREAM_REFUSED;
    return gh_fail(&request->refusal, GH_UPSTREAM_ADDRESS_REFUSED,
                   "%s has a %s address, and no setting names that host; add it to redirect_hosts "
                   "if that is right",
                   host, address_kind_label(kind));
}

/* The address is checked here, after the name was looked up: a name server that first answers a
 * public address and then a private one gains nothing. */
static curl_socket_t hop_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct upstream_request *request = arg;
    enum address_kind kind = address_classify(&address->addr, address->addrlen);

    if (kind != ADDRESS_PUBLIC && !hop_is_named(request)) {
        (void)hop_refuse(request, kind, request->origin.host);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection from the pool was opened under the rules of whoever opened it: look again. */
static int hop_before_request(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct upstream_request *request = arg;
    enum address_kind kind = address_classify_text(remote);

    if (kind != ADDRESS_PUBLIC && !hop_is_named(request)) {
        (void)hop_refuse(request, kind, request->origin.host);
        return CURL_PREREQFUNC_ABORT;
    }
    gh_error_clear(&request->refusal); /* another address of the same host was acceptable */
    return CURL_PREREQFUNC_OK;
}

/* --- the head --- */

void upstream_hop_reset_head(struct upstream_request *request)
{
    for (size_t i = 0; i < UPSTREAM_HEADER_COUNT; i++) {
        free(request->head.headers[i]);
    }
    memset(&request->head, 0, sizeof(request->head));
    request->head.content_length = -1;
    request->is_head_complete = false;
    request->has_transfer_encoding = false;
}

static const char *const hop_header_names[UPSTREAM_HEADER_COUNT] = {
    [UPSTREAM_CONTENT_TYPE] = "Content-Type",
    [UPSTREAM_DOCKER_CONTENT_DIGEST] = "Docker-Content-Digest",
    [UPSTREAM_LINK] = "Link",
    [UPSTREAM_FILTERS_APPLIED] = "OCI-Filters-Applied",
    [UPSTREAM_WWW_AUTHENTICATE] = "WWW-Authenticate",
    [UPSTREAM_RETRY_AFTER] = "Retry-After",
    [UPSTREAM_WARNING] = "Warning",
    [UPSTREAM_LOCATION] = "Location",
    [UPSTREAM_CONTENT_RANGE] = "Content-Range",
    [UPSTREAM_ACCEPT_RANGES] = "Accept-Ranges",
    [UPSTREAM_ETAG] = "ETag",
    [UPSTREAM_SUPPORTS_SIGNATURES] = "X-Registry-Supports-Signatures",
};

static bool hop_end_with(struct upstream_request *request, enum upstream_outcome outcome,
                         enum gh_cause cause, const char *text)
{
    request->refusal_outcome = outcome;
    return gh_fail(&request->refusal, cause, "%s", text);
}

/* "HTTP/1.1 200 OK", "HTTP/2 200" */
static bool hop_read_status(struct upstream_request *request, struct bytes line)
{
    struct bytes version;
    int status = 0;

    upstream_hop_reset_head(request);
    if (!bytes_split(&line, ' ', &version) || line.len < 3) {
        return hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                            "the registry's status line cannot be parsed");
    }
    for (size_t i = 0; i < 3; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') {
            return hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                                "the registry's status line cannot be parsed");
        }
        status = status * 10 + (line.data[i] - '0');
    }
    request->head.status = status;
    return true;
}

static bool hop_read_length(struct upstream_request *request, struct bytes value)
{
    int64_t length = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || i > 17) {
            return hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                                "the registry's Content-Length is not a number");
        }
        length = length * 10 + (value.data[i] - '0');
    }
    if (value.len == 0 ||
        (request->head.content_length >= 0 && request->head.content_length != length)) {
        return hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                            "the registry names two lengths for one body");
    }
    request->head.content_length = length;
    return true;
}

/* Keep a value; repeated headers are one list (RFC 9110 section 5.3). */
static bool hop_keep_header(char **slot, struct bytes value)
{
    size_t had = *slot != NULL ? strlen(*slot) : 0;
    char *joined;

    if (bytes_contains_nul(value) || had + value.len > HOP_MAX_HEADER_VALUE) {
        return false;
    }
    joined = realloc(*slot, had + value.len + 3);
    if (joined == NULL) {
        return false;
    }
    if (had > 0) {
        memcpy(joined + had, ", ", 2);
        had += 2;
    }
    if (value.len > 0) {
        memcpy(joined + had, value.data, value.len);
    }
    joined[had + value.len] = '\0';
    *slot = joined;
    return true;
}

static struct bytes hop_trim(struct bytes in)
{
    while (in.len > 0 && strchr(" \t\r\n", in.data[0]) != NULL && in.data[0] != 0) {
        in = bytes_slice(in, 1, in.len);
    }
    while (in.len > 0 && strchr(" \t\r\n", in.data[in.len - 1]) != NULL &&
           in.data[in.len - 1] != 0) {
        in.len--;
    }
    return in;
}

static bool hop_read_header(struct upstream_request *request, struct bytes line)
{
    struct bytes name;

    if (!bytes_split(&line, ':', &name)) {
        return true; /* curl has its own opinion of such lines; nobody reads them here */
    }
    line = hop_trim(line);
    if (name.len == 14 && strncasecmp((const char *)name.data, "Content-Length", 14) == 0) {
        return hop_read_length(request, line);
    }
    if (name.len == 17 && strncasecmp((const char *)name.data, "Transfer-Encoding", 17) == 0) {
        request->has_transfer_encoding = true;
        return true;
    }
    for (size_t i = 0; i < UPSTREAM_HEADER_COUNT; i++) {
        if (name.len == strlen(hop_header_names[i]) &&
            strncasecmp((const char *)name.data, hop_header_names[i], name.len) == 0) {
            return hop_keep_header(&request->head.headers[i], line) ||
                   hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                                "a header of the registry's answer is too long");
        }
    }
    return true;
}

/* 206 must be what was asked for, and only then. A 200 instead is a server that ignores Range: the
 * caller skips what it has. */
static bool hop_check_range(struct upstream_request *request)
{
    const char *range = upstream_head_get(&request->head, UPSTREAM_CONTENT_RANGE);
    char wanted[48];

    (void)snprintf(wanted, sizeof(wanted), "bytes %llu-", (unsigned long long)request->range_first);
    return request->head.status != 206 ||
           (request->range_first > 0 && range != NULL &&
            strncasecmp(range, wanted, strlen(wanted)) == 0) ||
           hop_end_with(request, UPSTREAM_REJECTED, GH_UPSTREAM_UNAVAILABLE,
                        "the registry sent another range than it was asked for");
}

static size_t hop_on_header(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_request *request = arg;
    struct bytes line = bytes_make(data, size * count);
    bool is_kept = true;

    request->progress_ms = upstream_now_ms();
    request->header_bytes += line.len;
    if (request->is_cancelled) {
        return 0;
    }
    if (request->header_bytes > UPSTREAM_MAX_HEADER_BYTES) {
        (void)hop_end_with(request, UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE,
                           "the head of the registry's answer is too large");
        return 0;
    }
    if (request->is_head_complete) {
        return line.len; /* a trailer: nobody reads those */
    }
    if (bytes_starts_with(line, BYTES_LITERAL("HTTP/"))) {
        is_kept = hop_read_status(request, line);
    } else if (hop_trim(line).len == 0) {
        request->is_head_complete = request->head.status >= 200;
        if (request->has_transfer_encoding) {
            request->head.content_length = -1;
        }
        is_kept = hop_check_range(request);
    } else {
        is_kept = hop_read_header(request, line);
    }
    return is_kept ? line.len : 0;
}

/* --- the body --- */

static bool hop_grow_body(struct upstream_request *request, size_t more)
{
    size_t wanted = request->body.len + more;
    size_t capacity = GH_MAX(request->body_capacity, (size_t)HOP_FIRST_BODY_CAPACITY);
    uint8_t *data;

    if (wanted <= request->body_capacity) {
        return true;
    }
    while (capacity < wanted) {
        capacity *= 2;
    }
    data = realloc(request->body.data, capacity);
    if (data == NULL) {
        return false;
    }
    request->body.data = data;
    request->body_capacity = capacity;
    return true;
}

static bool hop_keep_body(struct upstream_request *request, struct bytes data)
{
    if (data.len > request->body_limit - request->body.len) {
        char text[120];

        (void)snprintf(text, sizeof(text), "the registry's answer is larger than %zu bytes",
                       request->body_limit);
        return hop_end_with(request, UPSTREAM_TOO_LARGE, GH_SIZE_LIMIT_EXCEEDED, text);
    }
    if (!hop_grow_body(request, data.len)) {
        return hop_end_with(request, UPSTREAM_FAILED, GH_INTERNAL_ERROR,
                            "no memory for the registry's answer");
    }
    memcpy(request->body.data + request->body.len, data.data, data.len);
    request->body.len += data.len;
    return true;
}

static bool hop_stream_body(struct upstream_request *request, struct bytes data)
{
    if (!request->is_head_given) {
        request->is_head_given = true;
        if (!request->sink.on_head(request->sink.ctx, &request->head)) {
            request->is_stopped_by_sink = true;
            return false;
        }
    }
    switch (request->sink.on_data(request->sink.ctx, data)) {
    case UPSTREAM_TAKE_MORE:
        return true;
    case UPSTREAM_TAKE_PAUSE:
        request->is_sink_paused = true;
        return true;
    case UPSTREAM_TAKE_STOP:
        break;
    }
    request->is_stopped_by_sink = true;
    return false;
}

static size_t hop_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct upstream_request *request = arg;
    struct bytes in = bytes_make(data, size * count);
    bool is_good = request->head.status == 200 || request->head.status == 206;
    bool is_taken;

    if (request->is_cancelled || !request->is_head_complete) {
        return 0;
    }
    if (!is_good) {
        request->discarded_bytes += in.len;
        return request->discarded_bytes <= UPSTREAM_MAX_DISCARD ? in.len : 0;
    }
    if (request->turn != request->client->turn) {
        request->turn = request->client->turn;
        request->turn_bytes = 0;
    }
    if (request->is_sink_paused || request->turn_bytes >= UPSTREAM_TURN_BYTES) {
        request->is_curl_paused = true;
        if (!request->is_sink_paused) {
            upstream_request_defer(request);
        }
        return CURL_WRITEFUNC_PAUSE; /* curl keeps this piece and delivers it again */
    }
    request->turn_bytes += in.len;
    request->received_bytes += in.len;
    request->progress_ms = upstream_now_ms();
    is_taken = request->is_streamed ? hop_stream_body(request, in) : hop_keep_body(request, in);
    return is_taken ? in.len : 0;
}

/* --- starting and ending --- */

static bool hop_add_line(struct upstream_request *request, const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 3;
    char *line = malloc(size);
    struct curl_slist *lines = NULL;

    if (line != NULL) {
        (void)snprintf(line, size, "%s: %s", name, value);
        lines = curl_slist_append(request->lines, line);
    }
    upstream_auth_wipe(line);
    if (lines == NULL) {
        return false;
    }
    request->lines = lines;
    return true;
}

static bool hop_add_lines(struct upstream_request *request, bool has_credentials)
{
    char range[48];

    (void)snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)request->range_first);
    return hop_add_line(request, "Accept", request->accept != NULL ? request->accept : "*/*") &&
           (!has_credentials || request->authorization == NULL ||
            hop_add_line(request, "Authorization", request->authorization)) &&
           (request->range_first == 0 || hop_add_line(request, "Range", range)) &&
           (request->post_type == NULL ||
            hop_add_line(request, "Content-Type", request->post_type));
}

/* True when every option was taken: one that libcurl does not know would be a rule not kept. */
static bool hop_set_rules(CURL *easy, struct upstream_request *request)
{
    return curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           /* The environment's proxy would open the socket in our place, past the address rules. */
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, hop_open_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, hop_before_request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQDATA, request) == CURLE_OK;
}

static bool hop_set_tls(CURL *easy, const struct upstream_config *config)
{
    struct curl_blob ca = {.data = (void *)(uintptr_t)config->ca_pem.data,
                           .len = config->ca_pem.len,
                           .flags = CURL_BLOB_NOCOPY};

    return config->ca_pem.len == 0 || curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &ca) == CURLE_OK;
}

static bool hop_set_method(CURL *easy, const struct upstream_request *request)
{
    switch (request->method) {
    case UPSTREAM_GET:
        return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    case UPSTREAM_HEAD:
        return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    case UPSTREAM_POST:
        return curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->post.len) ==
                   CURLE_OK &&
               curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                                request->post.len > 0 ? (const char *)request->post.data : "") ==
                   CURLE_OK;
    }
    return false;
}

static bool hop_set_exchange(CURL *easy, struct upstream_request *request, const char *url,
                             bool is_https)
{
    const struct upstream_config *config = &request->upstream->config;
    /* A paused h2 stream may hold 32 MiB, so streamed bodies have a connection of their own. */
    long version =
        is_https && !request->is_streamed ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;

    return curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "gatehouse/" GATEHOUSE_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_timeout_ms) ==
               CURLE_OK &&
           (!request->is_streamed ||
            curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, HOP_STREAM_BUFFER) == CURLE_OK) &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->lines) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, hop_on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, hop_on_data) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, request) == CURLE_OK;
}

bool upstream_hop_start(struct upstream_request *request, struct gh_error *err)
{
    const char *url = request->hop_url != NULL ? request->hop_url : request->url;
    bool has_credentials;

    GH_TRY(upstream_request_origin(request, err));
    /* A token fetch goes to a realm that was checked, and follows no redirect. */
    has_credentials = request->is_token ||
                      upstream_redirect_same_origin(&request->origin, &request->upstream->origin);
    upstream_hop_reset_head(request);
    request->header_bytes = 0;
    request->discarded_bytes = 0;
    request->is_curl_paused = false;
    request->body.len = 0;
    gh_error_clear(&request->refusal);
    request->easy = upstream_client_take_easy(request->client);
    if (request->easy == NULL || !hop_add_lines(request, has_credentials) ||
        !hop_set_rules(request->easy, request) ||
        !hop_set_tls(request->easy, &request->upstream->config) ||
        !hop_set_method(request->easy, request) ||
        !hop_set_exchange(request->easy, request, url, request->origin.is_https) ||
        curl_multi_add_handle(request->client->multi, request->easy) != CURLM_OK) {
        upstream_hop_end(request);
        return gh_fail(err, GH_INTERNAL_ERROR, "libcurl refuses a request");
    }
    request->is_hop_started = true;
    request->started_ms = upstream_now_ms();
    request->progress_ms = request->started_ms;
    return true;
}

/* What was asked and how it ended: the status, which the registry chooses and is therefore held to
 * the known range, "cancelled" when nobody waits any more, "error" when no head came. The time ends
 * with the head: how long a body takes is the reader's doing as well. */
static void hop_count(const struct upstream_request *request)
{
    const struct upstream_config *config = &request->upstream->config;
    int status = request->is_head_complete ? request->head.status : 0;
    char code[16] = "";
    curl_off_t head_us = 0;

    if (status >= 100 && status <= 599) {
        (void)snprintf(code, sizeof(code), "%d", status);
    } else {
        (void)snprintf(code, sizeof(code), "%s",
                       status != 0             ? "other"
                       : request->is_cancelled ? "cancelled"
                                               : "error");
    }
    prom_add(request->client->prom, PROM_UPSTREAM_REQUESTS,
             PROM_LABELS(config->tenant, config->name, code), 1);
    if (status != 0 &&
        curl_easy_getinfo(request->easy, CURLINFO_STARTTRANSFER_TIME_T, &head_us) == CURLE_OK) {
        prom_observe(request->client->prom, PROM_UPSTREAM_DURATION,
                     PROM_LABELS(config->tenant, config->name), (double)head_us / 1e6);
    }
}

void upstream_hop_end(struct upstream_request *request)
{
    if (request->is_hop_started) {
        request->is_hop_started = false;
        hop_count(request);
    }
    if (request->easy != NULL) {
        (void)curl_multi_remove_handle(request->client->multi, request->easy);
        upstream_client_give_easy(request->client, request->easy);
        request->easy = NULL;
    }
    for (struct curl_slist *line = request->lines; line != NULL; line = line->next) {
        explicit_bzero(line->data, strlen(line->data));
    }
    curl_slist_free_all(request->lines);
    request->lines = NULL;
}
