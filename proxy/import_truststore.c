#include "proxy/import_truststore.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "metrics/error.h"

struct truststore_walk {
    import_truststore_fn fn;
    void *ctx;
    size_t count;
};

static bool truststore_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool truststore_join(char out[PATH_MAX], const char *folder, const char *name,
                            struct gh_error *err)
{
    return (size_t)snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX ||
           gh_fail(err, GH_NOTATION_POLICY_INVALID, "the path is too long: %.150s", folder);
}

/* The folder that holds ca, signingAuthority and tsa. */
static bool truststore_find(const char *folder, char out[PATH_MAX], struct gh_error *err)
{
    static const char *const below[] = {"truststore/x509", "x509", "."};

    for (size_t i = 0; i < GH_COUNT(below); i++) {
        char found[PATH_MAX];
        char probe[PATH_MAX];
        static const char *const kinds[] = {"ca", "signingAuthority", "tsa"};

        GH_TRY(truststore_join(found, folder, below[i], err));
        for (size_t k = 0; k < GH_COUNT(kinds); k++) {
            GH_TRY(truststore_join(probe, found, kinds[k], err));
            if (truststore_is_folder(probe)) {
                return realpath(found, out) != NULL ||
                       gh_fail(err, GH_NOTATION_POLICY_INVALID, "%.150s: %s", found,
                               strerror(errno));
            }
        }
    }
    return gh_fail(
        err, GH_NOTATION_POLICY_INVALID,
        "%.150s: no trust store; expected truststore/x509/{ca,signingAuthority,tsa}/NAME", folder);
}

static bool truststore_is_certificate(const char *name)
{
    static const char *const ends[] = {".pem", ".crt", ".cer"};
    size_t len = strlen(name);

    for (size_t i = 0; i < GH_COUNT(ends); i++) {
        if (len > 4 && strcmp(name + len - 4, ends[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool truststore_give(struct truststore_walk *walk, const char *kind, const char *store,
                            const char *path, struct gh_error *err)
{
    char *name = NULL;
    char *copy = strdup(path);

    if (++walk->count > IMPORT_TRUSTSTORE_MAX_FILES) {
        free(copy);
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d files in the trust store",
                       IMPORT_TRUSTSTORE_MAX_FILES);
    }
    if (copy == NULL || asprintf(&name, "store:%s:%s", kind, store) < 0) {
        free(copy);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory");
    }
    return walk->fn(walk->ctx, name, copy) ||
           gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "too many certificates and settings");
}

/* Sorted, without the hidden ones. Gives: the count, -1 with errno; free each and the list. */
static int truststore_list(const char *folder, struct dirent ***out)
{
    return scandir(folder, out, NULL, alphasort);
}

static void truststore_list_free(struct dirent **list, int count)
{
    for (int i = 0; i < count; i++) {
        free(list[i]);
    }
    free(list);
}

static bool truststore_file(struct truststore_walk *walk, const char *kind, const char *store,
                            const char *path, const char *name, struct gh_error *err)
{
    struct stat info;

    if (lstat(path, &info) != 0) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "%.150s: %s", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return true;
    }
    if (!S_ISREG(info.st_mode)) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                       "%.150s: not a regular file; put the certificate there itself", path);
    }
    if (!truststore_is_certificate(name)) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID,
                       "%.150s: expected .pem, .crt or .cer; move it out of the store", path);
    }
    return truststore_give(walk, kind, store, path, err);
}

/* Each file of one store, or (STORE NULL) each store of one kind. */
static bool truststore_each(struct truststore_walk *walk, const char *folder, const char *kind,
                            const char *store, struct gh_error *err)
{
    struct dirent **list = NULL;
    int count = truststore_list(folder, &list);
    bool is_good = true;

    if (count < 0) {
        return gh_fail(err, GH_NOTATION_POLICY_INVALID, "%.150s: %s", folder, strerror(errno));
    }
    for (int i = 0; is_good && i < count; i++) {
        const char *name = list[i]->d_name;
        char path[PATH_MAX];

        if (name[0] == '.') {
            continue;
        }
        is_good = truststore_join(path, folder, name, err);
        if (is_good && store != NULL) {
            is_good = truststore_file(walk, kind, store, path, name, err);
        } else if (is_good && truststore_is_folder(path)) {
            is_good = truststore_each(walk, path, kind, name, err);
        }
    }
    truststore_list_free(list, count);
    return is_good;
}

bool import_truststore_walk(const char *folder, import_truststore_fn fn, void *ctx,
                            struct gh_error *err)
{
    static const char *const kinds[] = {"ca", "signingAuthority", "tsa"};
    struct truststore_walk walk = {.fn = fn, .ctx = ctx};
    char root[PATH_MAX];

    GH_TRY(truststore_find(folder, root, err));
    for (size_t i = 0; i < GH_COUNT(kinds); i++) {
        char path[PATH_MAX];

        GH_TRY(truststore_join(path, root, kinds[i], err));
        if (truststore_is_folder(path)) {
            GH_TRY(truststore_each(&walk, path, kinds[i], NULL, err));
        }
    }
    return true;
}
