#include "proxy/upstream_redirect.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "proxy/upstream.h"

static void redirect_url_freep(CURLU **url)
{
    curl_url_cleanup(*url);
    *url = NULL;
}

static void redirect_curl_freep(char **text)
{
    curl_free(*text);
    *text = NULL;
}

/* Copy a host name in lower case, without the brackets of IPv6. */
static bool redirect_copy_host(const char *host, char out[ADDRESS_MAX_HOST])
{
    size_t len = strlen(host);

    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    }
    if (len > 0 && host[len - 1] == '.') {
        len--; /* "ghcr.io." is the same host, and must not slip past a comparison */
    }
    if (len == 0 || len >= ADDRESS_MAX_HOST) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)tolower((unsigned char)host[i]);
    }
    out[len] = '\0';
    return true;
}

static bool redirect_read_origin(CURLU *url, struct upstream_origin *out, struct gh_error *err)
{
    GH_OWN(redirect_curl_freep) char *scheme = NULL;
    GH_OWN(redirect_curl_freep) char *host = NULL;
    GH_OWN(redirect_curl_freep) char *port = NULL;
    GH_OWN(redirect_curl_freep) char *user = NULL;
    GH_OWN(redirect_curl_freep) char *password = NULL;
    struct upstream_origin origin = {0};

    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the URL names no host");
    }
    origin.is_https = strcmp(scheme, "https") == 0;
    if (!origin.is_https && strcmp(scheme, "http") != 0) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED,
                       "only http and https are spoken, the URL wants %s", scheme);
    }
    if (curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_NO_USER ||
        curl_url_get(url, CURLUPART_PASSWORD, &password, 0) != CURLUE_NO_PASSWORD) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the URL carries a user name");
    }
    if (!redirect_copy_host(host, origin.host)) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the host name's length is %zu, not 1-%d",
                       strlen(host), ADDRESS_MAX_HOST - 1);
    }
    origin.port = (unsigned)strtoul(port, NULL, 10);
    *out = origin;
    return true;
}

bool upstream_redirect_origin(const char *url, struct upstream_origin *out, struct gh_error *err)
{
    GH_OWN(redirect_url_freep) CURLU *parsed = curl_url();

    if (parsed == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a URL");
    }
    if (strlen(url) > UPSTREAM_MAX_URL_BYTES ||
        curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the URL cannot be parsed: %.80s", url);
    }
    return redirect_read_origin(parsed, out, err);
}

bool upstream_redirect_same_origin(const struct upstream_origin *a, const struct upstream_origin *b)
{
    return a->is_https == b->is_https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool upstream_redirect_resolve(const char *base, const char *location, char **out,
                               struct gh_error *err)
{
    GH_OWN(redirect_url_freep) CURLU *url = curl_url();
    GH_OWN(redirect_curl_freep) char *text = NULL;
    struct upstream_origin from;
    struct upstream_origin to;

    if (url == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a URL");
    }
    GH_TRY(upstream_redirect_origin(base, &from, err));
    if (strlen(location) > UPSTREAM_MAX_URL_BYTES ||
        curl_url_set(url, CURLUPART_URL, base, 0) != CURLUE_OK ||
        curl_url_set(url, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the link cannot be parsed: %.80s",
                       location);
    }
    GH_TRY(redirect_read_origin(url, &to, err));
    if (from.is_https && !to.is_https) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED,
                       "%s sends from https to plain http at %s, which is not followed", from.host,
                       to.host);
    }
    if (curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK ||
        strlen(text) > UPSTREAM_MAX_URL_BYTES) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "the link cannot be used: %.80s",
                       location);
    }
    *out = strdup(text);
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a URL");
}

static bool redirect_list_names(const char *const *hosts, size_t count,
                                const struct upstream_origin *origin)
{
    for (size_t i = 0; i < count; i++) {
        if (address_entry_names(hosts[i], origin->host, origin->port)) {
            return true;
        }
    }
    return false;
}

bool upstream_redirect_is_named(const struct upstream_config *config,
                                const struct upstream_origin *own,
                                const struct upstream_origin *origin)
{
    return strcmp(own->host, origin->host) == 0 ||
           redirect_list_names(config->auth_hosts, config->auth_host_count, origin) ||
           redirect_list_names(config->redirect_hosts, config->redirect_host_count, origin) ||
           redirect_list_names(config->named_hosts, config->named_host_count, origin);
}

bool upstream_redirect_check_realm(const struct upstream_config *config, const char *realm,
                                   struct gh_error *err)
{
    struct upstream_origin own;
    struct upstream_origin there;
    bool is_own_host;

    GH_TRY(upstream_redirect_origin(config->url, &own, err));
    GH_TRY(upstream_redirect_origin(realm, &there, err));
    is_own_host = strcmp(own.host, there.host) == 0;
    if (!(is_own_host && own.port == there.port) &&
        !redirect_list_names(config->auth_hosts, config->auth_host_count, &there)) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED,
                       "%s wants a token from %s:%u, which is not its own host; add it to "
                       "auth_hosts if that is right",
                       config->name, there.host, there.port);
    }
    if (!there.is_https &&
        (own.is_https || (!is_own_host && strcmp(there.host, "localhost") != 0 &&
                          address_classify_text(there.host) != ADDRESS_LOOPBACK))) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "%s wants a token from %s over plain http",
                       config->name, there.host);
    }
    return true;
}
