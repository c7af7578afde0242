#include "proxy/certificates.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "policy/config.h"
#include "proxy/config_files.h"
#include "proxy/tls.h"

#define CERTIFICATES_MAX 16
#define CERTIFICATES_MAX_FILE 1048576

struct certificates_entry {
    char *address;
    struct tls *tls;
};

struct certificates {
    struct certificates_entry entries[CERTIFICATES_MAX];
    size_t count;
};

struct certificates_next {
    struct tls_next *items[CERTIFICATES_MAX]; /* parallel to entries; NULL: stays */
};

bool certificates_new(struct certificates **out, struct gh_error *err)
{
    *out = calloc(1, sizeof(**out));
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for certificates");
}

void certificates_free(struct certificates *certificates)
{
    if (certificates == NULL) {
        return;
    }
    for (size_t i = 0; i < certificates->count; i++) {
        tls_free(certificates->entries[i].tls);
        free(certificates->entries[i].address);
    }
    free(certificates);
}

/* The bytes of a listener's files, for as long as a context is made of them. */
struct certificates_files {
    struct bytes_buf parts[3];
};

static void certificates_files_done(struct certificates_files *files)
{
    for (size_t i = 0; i < GH_COUNT(files->parts); i++) {
        if (files->parts[i].data != NULL) {
            explicit_bzero(files->parts[i].data, files->parts[i].len);
        }
        bytes_buf_done(&files->parts[i]);
    }
}

static bool certificates_read(const struct config_tls *from, struct certificates_files *files,
                              struct tls_config *out, struct gh_error *err)
{
    const char *const paths[] = {from->certificate, from->key, from->client_ca};
    unsigned mode;

    for (size_t i = 0; i < GH_COUNT(paths); i++) {
        if (paths[i] != NULL &&
            !config_files_read(paths[i], CERTIFICATES_MAX_FILE, &files->parts[i], &mode, err)) {
            gh_error_at(err, "%s", paths[i]);
            return false;
        }
    }
    *out = (struct tls_config){.certificate = bytes_view(&files->parts[0]),
                               .key = bytes_view(&files->parts[1]),
                               .client_ca = bytes_view(&files->parts[2])};
    return true;
}

bool certificates_add(struct certificates *certificates, const char *address,
                      const struct config_tls *files, struct tls **out, struct gh_error *err)
{
    struct certificates_entry *entry = &certificates->entries[certificates->count];
    GH_OWN(certificates_files_done) struct certificates_files read = {0};
    struct tls_config config;

    if (certificates->count == CERTIFICATES_MAX) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d listeners with certificates",
                       CERTIFICATES_MAX);
    }
    GH_TRY(certificates_read(files, &read, &config, err));
    GH_TRY(tls_new(&config, &entry->tls, err));
    certificates->count++;
    entry->address = strdup(address);
    *out = entry->tls;
    return entry->address != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for certificates");
}

/* What CONFIG says about the listener on ADDRESS; NULL: nothing, or that it has no TLS. */
static const struct config_tls *certificates_find(const struct config *config, const char *address)
{
    for (size_t i = 0; i < config->listen.count; i++) {
        if (strcmp(config->listen.items[i].address, address) == 0) {
            return config->listen.items[i].tls;
        }
    }
    return config->admin.address != NULL && strcmp(config->admin.address, address) == 0
               ? config->admin.tls
               : NULL;
}

bool certificates_prepare(const struct certificates *certificates, const struct config *config,
                          struct certificates_next **out, struct gh_error *err)
{
    GH_OWN(certificates_next_freep) struct certificates_next *next = calloc(1, sizeof(*next));

    if (next == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for certificates");
    }
    for (size_t i = 0; i < certificates->count; i++) {
        const char *address = certificates->entries[i].address;
        const struct config_tls *files = certificates_find(config, address);
        GH_OWN(certificates_files_done) struct certificates_files read = {0};
        struct tls_config wanted;

        if (files != NULL && (!certificates_read(files, &read, &wanted, err) ||
                              !tls_prepare(&wanted, &next->items[i], err))) {
            gh_error_at(err, "the certificate of %s", address);
            return false;
        }
    }
    *out = GH_TAKE(next);
    return true;
}

void certificates_adopt(struct certificates *certificates, struct certificates_next *next)
{
    for (size_t i = 0; i < certificates->count; i++) {
        if (next->items[i] != NULL) {
            tls_adopt(certificates->entries[i].tls, GH_TAKE(next->items[i]));
        }
    }
    certificates_next_free(next);
}

void certificates_next_free(struct certificates_next *next)
{
    if (next == NULL) {
        return;
    }
    for (size_t i = 0; i < GH_COUNT(next->items); i++) {
        tls_next_free(next->items[i]);
    }
    free(next);
}
