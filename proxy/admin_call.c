#include "proxy/admin_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config.h"

static size_t admin_call_on_data(char *data, size_t size, size_t count, void *arg)
{
    struct text *body = arg;

    text_put_bytes(body, data, size * count);
    return text_ok(body) ? size * count : 0;
}

/* An address to listen on need not be one to connect to. */
static void admin_call_url(const char *address, const char *path, char *out, size_t size)
{
    if (strncmp(address, "0.0.0.0:", 8) == 0) {
        (void)snprintf(out, size, "http://127.0.0.1:%s%s", address + 8, path);
    } else if (strncmp(address, "[::]:", 5) == 0) {
        (void)snprintf(out, size, "http://[::1]:%s%s", address + 5, path);
    } else {
        (void)snprintf(out, size, "http://%s%s", address, path);
    }
}

static bool admin_call_run(CURL *curl, const char *url, const struct curl_slist *headers,
                           struct text *body)
{
    long status = 0;

    return curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ADMIN_CALL_TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, admin_call_on_data) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, body) == CURLE_OK &&
           curl_easy_perform(curl) == CURLE_OK &&
           curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK && status == 200;
}

bool admin_call_get(const struct config *config, const char *path, struct bytes_buf *out)
{
    struct curl_slist *headers = NULL;
    struct gh_error error = {0};
    char *token = NULL;
    char url[512];
    struct text body;
    CURL *curl;
    bool is_done = false;

    if (config->admin.address == NULL || config->admin.tls != NULL) {
        return false;
    }
    admin_call_url(config->admin.address, path, url, sizeof(url));
    text_init(&body, ADMIN_CALL_MAX_BYTES);
    if (config->admin.token != NULL &&
        asprintf(&token, "Authorization: Bearer %s", config->admin.token) > 0) {
        headers = curl_slist_append(NULL, token);
    }
    curl = curl_easy_init();
    if (curl != NULL && admin_call_run(curl, url, headers, &body)) {
        is_done = bytes_dup(bytes_make(body.data, body.len), out, &error);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (token != NULL) {
        explicit_bzero(token, strlen(token));
    }
    free(token);
    text_done(&body);
    return is_done;
}
