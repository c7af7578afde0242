#include "proxy/remote.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define REMOTE_MAX_URL 2048
#define REMOTE_MAX_HEADER 8192

struct remote {
    CURL *curl;
    struct curl_slist *headers;
};

static void remote_done(struct remote *remote)
{
    curl_easy_cleanup(remote->curl);
    curl_slist_free_all(remote->headers);
}

static size_t remote_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct text *answer = arg;

    text_put_bytes(answer, data, size * count);
    return text_ok(answer) ? size * count : 0;
}

static bool remote_add_header(struct remote *remote, const char *header)
{
    struct curl_slist *longer = curl_slist_append(remote->headers, header);

    remote->headers = longer != NULL ? longer : remote->headers;
    return longer != NULL;
}

static bool remote_set_token(struct remote *remote, const char *token)
{
    char header[REMOTE_MAX_HEADER];
    bool is_set;

    if (token == NULL) {
        return true;
    }
    is_set = (size_t)snprintf(header, sizeof(header), "Authorization: Bearer %s", token) <
                 sizeof(header) &&
             remote_add_header(remote, header);
    explicit_bzero(header, sizeof(header));
    return is_set;
}

static bool remote_set_up(struct remote *remote, const char *url, const char *token,
                          const struct text *body, struct text *answer)
{
    char address[REMOTE_MAX_URL];
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/') {
        len--;
    }
    if ((size_t)snprintf(address, sizeof(address), "%.*s/v1/verify", (int)len, url) >=
        sizeof(address)) {
        return false;
    }
    remote->curl = curl_easy_init();
    return remote->curl != NULL && remote_add_header(remote, "Content-Type: application/json") &&
           remote_set_token(remote, token) &&
           curl_easy_setopt(remote->curl, CURLOPT_URL, address) == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           /* an admin address is near: what the environment names as a proxy gets no token */
           curl_easy_setopt(remote->curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_HTTPHEADER, remote->headers) == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_POSTFIELDS, text_cstr(body)) == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_TIMEOUT_MS, (long)REMOTE_TIMEOUT_MS) ==
               CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_WRITEFUNCTION, remote_on_data) == CURLE_OK &&
           curl_easy_setopt(remote->curl, CURLOPT_WRITEDATA, answer) == CURLE_OK;
}

static bool remote_run(const char *url, const char *token, const struct text *body,
                       struct text *answer, struct gh_error *err)
{
    GH_OWN(remote_done) struct remote remote = {0};
    long status = 0;
    CURLcode code;

    if (!remote_set_up(&remote, url, token, body, answer)) {
        return gh_fail(err, GH_POLICY_DENIED, "'%.120s' is no address of an admin API", url);
    }
    code = curl_easy_perform(remote.curl);
    (void)curl_easy_getinfo(remote.curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%.120s: %s", url, curl_easy_strerror(code));
    }
    if (status == 401 || status == 403) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE,
                       "%.120s asks for its token: name the configuration that has it with -c",
                       url);
    }
    return status == 200 ||
           gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "%.100s answers with status %ld: %.80s", url,
                   status, text_cstr(answer));
}

bool remote_verify(const char *url, const char *token, const char *image, struct text *answer,
                   struct gh_error *err)
{
    struct text body;
    bool is_done;

    text_init(&body, REMOTE_MAX_HEADER);
    text_put(&body, "{\"image\":");
    text_put_json(&body, image);
    text_put(&body, "}");
    is_done = text_ok(&body) ? remote_run(url, token, &body, answer, err)
                             : gh_fail(err, GH_POLICY_DENIED, "the image's name is too long");
    text_done(&body);
    return is_done;
}
