#include "proxy/audit_carrier.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/crypto.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define AUDIT_CARRIER_MAX_MESSAGE (128u * 1024)
#define AUDIT_CARRIER_TIME_BYTES 24 /* "2026-11-21T03:50:00.000Z" */
#define AUDIT_CARRIER_MAX_TYPE 32

/* RFC 5424 section 6.2.1: facility 13 (log audit), severity informational, warning for refusals. */
#define AUDIT_CARRIER_INFO (13 * 8 + 6)
#define AUDIT_CARRIER_WARNING (13 * 8 + 4)

enum audit_carrier_kind {
    AUDIT_CARRIER_HTTP,
    AUDIT_CARRIER_UDP,
    AUDIT_CARRIER_TCP,
    AUDIT_CARRIER_UNIX
};

static const struct {
    const char *prefix;
    enum audit_carrier_kind kind;
} audit_carrier_kinds[] = {
    {"udp://", AUDIT_CARRIER_UDP},    {"tcp://", AUDIT_CARRIER_TCP},
    {"unix:", AUDIT_CARRIER_UNIX},    {"http://", AUDIT_CARRIER_HTTP},
    {"https://", AUDIT_CARRIER_HTTP},
};

struct audit_carrier {
    enum audit_carrier_kind kind;
    char *url;
    char *address; /* what follows the scheme */
    char *ca;
    char *token;
    char host[256]; /* our own name, for syslog */
    int fd;         /* -1: not connected */
    CURL *curl;
    struct curl_slist *headers;
    struct text message;
};

/* HOST:PORT, the host in brackets where it is an IPv6 address. */
static bool audit_carrier_split(const char *address, char host[256], char port[16])
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;

    if (len == 0 || colon[1] == '\0' || strlen(colon + 1) >= 16 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return false;
    }
    if (address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len == 0 || len >= 256) {
        return false;
    }
    memcpy(host, address, len);
    host[len] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return strchr(host, '/') == NULL && strchr(host, '@') == NULL;
}

static bool audit_carrier_read_url(const char *url, enum audit_carrier_kind *kind,
                                   const char **address)
{
    char host[256];
    char port[16];

    for (size_t i = 0; i < GH_COUNT(audit_carrier_kinds); i++) {
        size_t len = strlen(audit_carrier_kinds[i].prefix);

        if (strncmp(url, audit_carrier_kinds[i].prefix, len) != 0) {
            continue;
        }
        *kind = audit_carrier_kinds[i].kind;
        *address = url + len;
        switch (*kind) {
        case AUDIT_CARRIER_HTTP:
            return url[len] != '\0' && url[len] != '/';
        case AUDIT_CARRIER_UNIX:
            *address += strncmp(*address, "//", 2) == 0 ? 2 : 0;
            return (*address)[0] == '/' &&
                   strlen(*address) < sizeof(((struct sockaddr_un *)0)->sun_path);
        case AUDIT_CARRIER_UDP:
        case AUDIT_CARRIER_TCP:
            return audit_carrier_split(*address, host, port);
        }
    }
    return false;
}

static bool audit_carrier_open_curl(struct audit_carrier *carrier)
{
    struct text header;

    carrier->curl = curl_easy_init();
    carrier->headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
    if (carrier->curl == NULL || carrier->headers == NULL) {
        return false;
    }
    if (carrier->token != NULL) {
        struct curl_slist *longer;

        text_init(&header, 16384);
        text_printf(&header, "Authorization: Bearer %s", carrier->token);
        longer = curl_slist_append(carrier->headers, text_cstr(&header));
        OPENSSL_cleanse(header.data, header.len);
        text_done(&header);
        if (longer == NULL) {
            return false;
        }
        carrier->headers = longer;
    }
    (void)curl_easy_setopt(carrier->curl, CURLOPT_URL, carrier->url);
    (void)curl_easy_setopt(carrier->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(carrier->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(carrier->curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(carrier->curl, CURLOPT_TIMEOUT, (long)AUDIT_CARRIER_TIMEOUT_S);
    (void)curl_easy_setopt(carrier->curl, CURLOPT_HTTPHEADER, carrier->headers);
    if (carrier->ca != NULL) {
        (void)curl_easy_setopt(carrier->curl, CURLOPT_CAINFO, carrier->ca);
    }
    return true;
}

bool audit_carrier_new(const struct audit_carrier_config *config, struct audit_carrier **out,
                       struct gh_error *err)
{
    GH_OWN(audit_carrier_freep) struct audit_carrier *carrier = calloc(1, sizeof(*carrier));
    const char *address = NULL;

    if (carrier == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the audit sink");
    }
    carrier->fd = -1;
    text_init(&carrier->message, AUDIT_CARRIER_MAX_MESSAGE);
    if (!audit_carrier_read_url(config->url, &carrier->kind, &address)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the audit sink %s is not one of %s", config->url,
                       AUDIT_CARRIER_SCHEMES);
    }
    carrier->url = strdup(config->url);
    carrier->address = strdup(address);
    carrier->ca = config->ca != NULL ? strdup(config->ca) : NULL;
    carrier->token = config->token != NULL ? strdup(config->token) : NULL;
    if (gethostname(carrier->host, sizeof(carrier->host) - 1) != 0 || carrier->host[0] == '\0') {
        carrier->host[0] = '-';
    }
    if (carrier->url == NULL || carrier->address == NULL ||
        (config->ca != NULL && carrier->ca == NULL) ||
        (config->token != NULL && carrier->token == NULL) ||
        (carrier->kind == AUDIT_CARRIER_HTTP && !audit_carrier_open_curl(carrier))) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the audit sink");
    }
    *out = GH_TAKE(carrier);
    return true;
}

static void audit_carrier_close(struct audit_carrier *carrier)
{
    if (carrier->fd >= 0) {
        (void)close(carrier->fd);
    }
    carrier->fd = -1;
}

void audit_carrier_free(struct audit_carrier *carrier)
{
    if (carrier == NULL) {
        return;
    }
    audit_carrier_close(carrier);
    curl_easy_cleanup(carrier->curl);
    curl_slist_free_all(carrier->headers);
    text_done(&carrier->message);
    if (carrier->token != NULL) {
        OPENSSL_cleanse(carrier->token, strlen(carrier->token));
    }
    free(carrier->token);
    free(carrier->ca);
    free(carrier->address);
    free(carrier->url);
    free(carrier);
}

/* ---- HTTP ---- */

static size_t audit_carrier_drop(char *data, size_t size, size_t count, void *arg)
{
    return size * count;
}

static bool audit_carrier_post(struct audit_carrier *carrier, const char *lines, size_t len,
                               struct gh_error *err)
{
    CURLcode result;
    long status = 0;

    (void)curl_easy_setopt(carrier->curl, CURLOPT_WRITEFUNCTION, audit_carrier_drop);
    (void)curl_easy_setopt(carrier->curl, CURLOPT_POSTFIELDS, lines);
    (void)curl_easy_setopt(carrier->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    result = curl_easy_perform(carrier->curl);
    if (result != CURLE_OK) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%s: %s", carrier->url,
                       curl_easy_strerror(result));
    }
    (void)curl_easy_getinfo(carrier->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%s answered %ld", carrier->url, status);
    }
    return true;
}

/* ---- syslog ---- */

static bool audit_carrier_fail(struct audit_carrier *carrier, const char *what,
                               struct gh_error *err)
{
    int saved = errno;

    audit_carrier_close(carrier);
    return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%s: cannot %s: %s", carrier->url, what,
                   strerror(saved));
}

static bool audit_carrier_connect_unix(struct audit_carrier *carrier, struct gh_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, carrier->address, strlen(carrier->address));
    carrier->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (carrier->fd < 0 ||
        connect(carrier->fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return audit_carrier_fail(carrier, "connect", err);
    }
    return true;
}

static bool audit_carrier_connect(struct audit_carrier *carrier, struct gh_error *err)
{
    const struct addrinfo hints = {.ai_socktype = carrier->kind == AUDIT_CARRIER_TCP ? SOCK_STREAM
                                                                                     : SOCK_DGRAM};
    const struct timeval limit = {.tv_sec = AUDIT_CARRIER_TIMEOUT_S};
    struct addrinfo *list = NULL;
    char host[256];
    char port[16];
    int failed;

    if (carrier->kind == AUDIT_CARRIER_UNIX) {
        return audit_carrier_connect_unix(carrier, err);
    }
    if (!audit_carrier_split(carrier->address, host, port)) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%s is no address", carrier->url);
    }
    failed = getaddrinfo(host, port, &hints, &list);
    if (failed != 0) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%s: %s", carrier->url, gai_strerror(failed));
    }
    for (const struct addrinfo *one = list; one != NULL && carrier->fd < 0; one = one->ai_next) {
        carrier->fd = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol);
        if (carrier->fd >= 0) {
            (void)setsockopt(carrier->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
            if (connect(carrier->fd, one->ai_addr, one->ai_addrlen) != 0) {
                int saved = errno;

                audit_carrier_close(carrier);
                errno = saved;
            }
        }
    }
    freeaddrinfo(list);
    return carrier->fd >= 0 || audit_carrier_fail(carrier, "connect", err);
}

/* The value of a member that every record has near its beginning; "-" when it is not there. */
static size_t audit_carrier_member(const char *line, size_t len, const char *key, const char **out)
{
    size_t key_len = strlen(key);
    size_t limit = GH_MIN(len, (size_t)256);

    for (size_t i = 0; i + key_len < limit; i++) {
        if (memcmp(line + i, key, key_len) == 0) {
            const char *value = line + i + key_len;
            const char *end = memchr(value, '"', limit - i - key_len);

            if (end != NULL && end > value) {
                *out = value;
                return (size_t)(end - value);
            }
        }
    }
    *out = "-";
    return 1;
}

/* One record as a syslog message; the record itself is its text. */
static void audit_carrier_format(struct audit_carrier *carrier, const char *line, size_t len)
{
    const char *type;
    const char *when;
    size_t type_len = audit_carrier_member(line, len, "\"type\":\"", &type);
    size_t when_len = audit_carrier_member(line, len, "\"time\":\"", &when);
    bool is_refusal = (type_len == 6 && memcmp(type, "denial", 6) == 0) ||
                      (type_len == 9 && memcmp(type, "undecided", 9) == 0);

    text_clear(&carrier->message);
    text_printf(&carrier->message, "<%d>1 %.*s %s gatehouse %ld %.*s - ",
                is_refusal ? AUDIT_CARRIER_WARNING : AUDIT_CARRIER_INFO,
                (int)GH_MIN(when_len, (size_t)AUDIT_CARRIER_TIME_BYTES + 8), when, carrier->host,
                (long)getpid(), (int)GH_MIN(type_len, (size_t)AUDIT_CARRIER_MAX_TYPE), type);
    text_put_bytes(&carrier->message, line, len);
}

static bool audit_carrier_write(struct audit_carrier *carrier, const char *data, size_t len,
                                struct gh_error *err)
{
    while (len > 0) {
        ssize_t n = send(carrier->fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return audit_carrier_fail(carrier, "send", err);
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool audit_carrier_put(struct audit_carrier *carrier, const char *line, size_t len,
                              struct gh_error *err)
{
    char count[32];

    audit_carrier_format(carrier, line, len);
    if (!text_ok(&carrier->message)) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "no memory for a message");
    }
    if (carrier->kind == AUDIT_CARRIER_TCP) {
        int n = snprintf(count, sizeof(count), "%zu ", carrier->message.len);

        GH_TRY(audit_carrier_write(carrier, count, (size_t)n, err));
    }
    return audit_carrier_write(carrier, carrier->message.data, carrier->message.len, err);
}

/* A server that has gone shows as the end of what it sends; the first write would still succeed. */
static void audit_carrier_look(struct audit_carrier *carrier)
{
    char byte;

    if (carrier->kind == AUDIT_CARRIER_TCP && carrier->fd >= 0 &&
        recv(carrier->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0) {
        audit_carrier_close(carrier);
    }
}

bool audit_carrier_send(struct audit_carrier *carrier, const char *lines, size_t len,
                        struct gh_error *err)
{
    if (carrier->kind == AUDIT_CARRIER_HTTP) {
        return audit_carrier_post(carrier, lines, len, err);
    }
    audit_carrier_look(carrier);
    if (carrier->fd < 0) {
        GH_TRY(audit_carrier_connect(carrier, err));
    }
    while (len > 0) {
        const char *end = memchr(lines, '\n', len);
        size_t line = end != NULL ? (size_t)(end - lines) : len;

        GH_TRY(audit_carrier_put(carrier, lines, line, err));
        line += end != NULL ? 1 : 0;
        lines += line;
        len -= line;
    }
    return true;
}
