#include "proxy/admin_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

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
static void admin_call_url(const struct config_admin *admin, const char *path, char *out,
                           size_t size)
{
    const char *scheme = admin->tls != NULL ? "https" : "http";
    const char *address = admin->address;

    if (strncmp(address, "0.0.0.0:", 8) == 0) {
        (void)snprintf(out, size, "%s://127.0.0.1:%s%s", scheme, address + 8, path);
    } else if (strncmp(address, "[::]:", 5) == 0) {
        (void)snprintf(out, size, "%s://[::1]:%s%s", scheme, address + 5, path);
    } else {
        (void)snprintf(out, size, "%s://%s%s", scheme, address, path);
    }
}

/* The key of the certificate that the configuration names, as curl pins it; new, or NULL. */
static char *admin_call_pin(const char *certificate)
{
    FILE *file = fopen(certificate, "re");
    X509 *leaf = file != NULL ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    unsigned char *der = NULL;
    int len = leaf != NULL ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der) : 0;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char text[64] = "";
    char *pin = NULL;

    if (len > 0 && EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1 &&
        EVP_EncodeBlock((unsigned char *)text, hash, sizeof(hash)) > 0 &&
        asprintf(&pin, "sha256//%s", text) < 0) {
        pin = NULL;
    }
    OPENSSL_free(der);
    X509_free(leaf);
    if (file != NULL) {
        (void)fclose(file);
    }
    ERR_clear_error();
    return pin;
}

/* The very certificate of the configuration answers, or nobody gets the token: its names and dates
 * say nothing more, and need not fit the address. */
static bool admin_call_trust(CURL *curl, const char *pin)
{
    return curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pin) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
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
    char *pin = NULL;
    char url[512];
    struct text body;
    CURL *curl;
    bool is_done = false;

    if (config->admin.address == NULL) {
        return false;
    }
    if (config->admin.tls != NULL) {
        pin = admin_call_pin(config->admin.tls->certificate);
        if (pin == NULL) {
            return false;
        }
    }
    admin_call_url(&config->admin, path, url, sizeof(url));
    text_init(&body, ADMIN_CALL_MAX_BYTES);
    if (config->admin.token != NULL &&
        asprintf(&token, "Authorization: Bearer %s", config->admin.token) > 0) {
        headers = curl_slist_append(NULL, token);
    }
    curl = curl_easy_init();
    if (curl != NULL && (pin == NULL || admin_call_trust(curl, pin)) &&
        admin_call_run(curl, url, headers, &body)) {
        is_done = bytes_dup(bytes_make(body.data, body.len), out, &error);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    if (token != NULL) {
        explicit_bzero(token, strlen(token));
    }
    free(token);
    free(pin);
    text_done(&body);
    return is_done;
}
