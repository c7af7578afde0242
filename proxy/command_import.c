#include "proxy/command_import.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/import.h"
#include "proxy/config_files.h"
#include "proxy/import_truststore.h"

#define IMPORT_MAX_INPUTS 256
#define IMPORT_MAX_SETTINGS 256

static const char import_usage[] =
    "usage: gatehouse policy import --from FORMAT [options] FILE...\n"
    "\n"
    "Prints the configuration that is equivalent to the policies in FILE... What has no "
    "equivalent\n"
    "is an error that names file, line and field; nothing is dropped.\n"
    "\n"
    "      --from FORMAT         clusterimagepolicy, kyverno, notation, containers-policy,\n"
    "                            connaisseur or binauthz\n"
    "      --out DIR             write gatehouse.yaml there, and inline keys as files; nothing is\n"
    "                            overwritten\n"
    "      --as-audit, --as-warn what is admitted without verification is served in that mode\n"
    "      --as-exception owner=WHO,approved_by=WHO,expires=DATE\n"
    "                            or under an exception (needs --out)\n"
    "      --set NAME=VALUE      what the documents name and do not hold; may be repeated:\n"
    "                            root:NAME=trusted_root.json, secret:NAMESPACE/NAME=key.pub,\n"
    "                            store:KIND:NAME=ca.pem, attestor:NAME=key.pub, lookaside=URL,\n"
    "                            occurrences=URL, cluster=LOCATION.NAME, observe=key.pub\n"
    "\n"
    "Of notation, FILE may be a folder: its configuration folder (trustpolicy.json beside\n"
    "truststore/), or a trust store; the certificates of the stores are found there.\n"
    "\n"
    "      --explain             print the class of every field to standard error\n"
    "  -h, --help                this text\n"
    "\n"
    "Exit status: 0 imported, 2 refused or wrong usage.\n";

struct import_arguments {
    struct import_request request;
    struct import_document documents[IMPORT_MAX_INPUTS];
    struct bytes_buf contents[IMPORT_MAX_INPUTS];
    struct import_pair settings[IMPORT_MAX_SETTINGS];
    char *owned[2 * IMPORT_TRUSTSTORE_MAX_FILES + 1 +
                IMPORT_MAX_SETTINGS]; /* of settings that came from a trust store */
    size_t owned_count;
    char created[16];
    const char *out_dir;
    bool is_explaining;
};

static bool import_complain(const char *what, const char *value)
{
    (void)fprintf(stderr, "gatehouse policy import: %s%s\n", what, value);
    return false;
}

/* owner=…,approved_by=…,expires=… ; cuts TEXT up. */
static bool import_read_exception(struct import_arguments *arguments, char *text)
{
    struct import_request *request = &arguments->request;
    char *rest = text;
    char *part;

    request->unverified = IMPORT_UNVERIFIED_EXCEPTION;
    while ((part = strsep(&rest, ",")) != NULL) {
        if (strncmp(part, "owner=", 6) == 0) {
            request->owner = part + 6;
        } else if (strncmp(part, "approved_by=", 12) == 0) {
            request->approved_by = part + 12;
        } else if (strncmp(part, "expires=", 8) == 0) {
            request->expires = part + 8;
        } else {
            return import_complain("--as-exception takes owner, approved_by and expires, not ",
                                   part);
        }
    }
    if (request->owner == NULL || request->approved_by == NULL || request->expires == NULL ||
        strspn(request->expires, "0123456789-:TZ") != strlen(request->expires)) {
        return import_complain("--as-exception needs owner=, approved_by= and expires=YYYY-MM-DD",
                               "");
    }
    return true;
}

static bool import_read_setting(struct import_arguments *arguments, char *text)
{
    char *equals = strchr(text, '=');

    if (equals == NULL || arguments->request.setting_count == IMPORT_MAX_SETTINGS) {
        return import_complain("--set takes NAME=VALUE, found ", text);
    }
    *equals = '\0';
    arguments->settings[arguments->request.setting_count++] =
        (struct import_pair){text, equals + 1};
    return true;
}

static bool import_read_options(struct import_arguments *arguments, int argc, char **argv)
{
    static const struct option options[] = {{"from", required_argument, NULL, 'f'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"as-audit", no_argument, NULL, 'a'},
                                            {"as-warn", no_argument, NULL, 'w'},
                                            {"as-exception", required_argument, NULL, 'e'},
                                            {"set", required_argument, NULL, 's'},
                                            {"explain", no_argument, NULL, 'x'},
                                            {NULL, 0, NULL, 0}};
    bool has_format = false;
    bool is_good = true;
    int option;

    optind = 2;
    while (is_good && (option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'f':
            has_format = import_format_find(optarg, &arguments->request.format);
            is_good = has_format || import_complain("not supported yet: --from ", optarg);
            break;
        case 'o':
            arguments->out_dir = optarg;
            break;
        case 'a':
            arguments->request.unverified = IMPORT_UNVERIFIED_AUDIT;
            break;
        case 'w':
            arguments->request.unverified = IMPORT_UNVERIFIED_WARN;
            break;
        case 'e':
            is_good = import_read_exception(arguments, optarg);
            break;
        case 's':
            is_good = import_read_setting(arguments, optarg);
            break;
        case 'x':
            arguments->is_explaining = true;
            break;
        default:
            is_good = false;
        }
    }
    if (is_good && (!has_format || optind >= argc || argc - optind > IMPORT_MAX_INPUTS)) {
        is_good = import_complain("expected --from FORMAT and 1 to 256 files; see --help", "");
    }
    return is_good;
}

static bool import_read_document(struct import_arguments *arguments, const char *path)
{
    size_t at = arguments->request.document_count;
    struct gh_error err = {0};
    unsigned mode;

    if (at == IMPORT_MAX_INPUTS) {
        return import_complain("too many files: ", path);
    }
    if (!config_files_read(path, IMPORT_MAX_BYTES, &arguments->contents[at], &mode, &err)) {
        return import_complain(err.text, "");
    }
    arguments->documents[at] = (struct import_document){path, bytes_view(&arguments->contents[at])};
    arguments->request.document_count++;
    return true;
}

static bool import_take_certificate(void *ctx, char *name, char *path)
{
    struct import_arguments *arguments = ctx;

    if (arguments->request.setting_count == IMPORT_MAX_SETTINGS) {
        free(name);
        free(path);
        return false;
    }
    arguments->owned[arguments->owned_count++] = name;
    arguments->owned[arguments->owned_count++] = path;
    arguments->settings[arguments->request.setting_count++] = (struct import_pair){name, path};
    return true;
}

/* The trust policy that stands beside a trust store, where none was named. As notation looks. */
static bool import_read_beside(struct import_arguments *arguments, const char *folder)
{
    static const char *const names[] = {"trustpolicy.oci.json", "trustpolicy.json"};

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        char *path = NULL;

        if (asprintf(&path, "%s/%s", folder, names[i]) < 0) {
            return import_complain("no memory", "");
        }
        if (access(path, F_OK) == 0) {
            arguments->owned[arguments->owned_count++] = path;
            return import_read_document(arguments, path);
        }
        free(path);
    }
    return import_complain("no trust policy was named, and none is in ", folder);
}

/* What is written elsewhere must name files from there: a configuration's paths are its own. */
static bool import_settle_paths(struct import_arguments *arguments)
{
    for (size_t i = 0; arguments->out_dir != NULL && i < arguments->request.setting_count; i++) {
        struct import_pair *setting = &arguments->settings[i];
        char *path;

        if (setting->value[0] == '/' || access(setting->value, F_OK) != 0) {
            continue; /* absolute, or no file at all: an address, a name */
        }
        path = realpath(setting->value, NULL);
        if (path == NULL) {
            return import_complain("cannot be read: ", setting->value);
        }
        arguments->owned[arguments->owned_count++] = path;
        setting->value = path;
    }
    return true;
}

static bool import_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool import_read_documents(struct import_arguments *arguments, int argc, char **argv)
{
    const char *folder = NULL;

    for (int i = optind; i < argc; i++) {
        struct gh_error err = {0};

        if (!import_is_folder(argv[i])) {
            if (!import_read_document(arguments, argv[i])) {
                return false;
            }
        } else if (arguments->request.format != IMPORT_NOTATION || folder != NULL) {
            return import_complain("found a folder, expected a file: ", argv[i]);
        } else if (!import_truststore_walk(argv[i], import_take_certificate, arguments, &err)) {
            return import_complain(err.text, "");
        } else {
            folder = argv[i];
        }
    }
    return arguments->request.document_count > 0 || import_read_beside(arguments, folder);
}

/* Never over an existing file: a configuration in use must not change by a wrong folder. */
static bool import_write_file(const char *folder, const char *name, struct bytes content)
{
    char path[4096];
    size_t done = 0;
    int fd;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path)) {
        return import_complain("the path is too long: ", folder);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) {
        (void)fprintf(stderr, "gatehouse policy import: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (done < content.len) {
        ssize_t n = write(fd, content.data + done, content.len - done);

        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    if (close(fd) != 0 || done < content.len) {
        (void)fprintf(stderr, "gatehouse policy import: %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static bool import_give(const struct import_arguments *arguments,
                        const struct import_result *result)
{
    const char *config = text_cstr(&result->config);
    const char *dir = arguments->out_dir;

    if (dir == NULL) {
        return fputs(config, stdout) >= 0 && fflush(stdout) == 0;
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        (void)fprintf(stderr, "gatehouse policy import: %s: %s\n", dir, strerror(errno));
        return false;
    }
    for (size_t i = 0; i < result->file_count; i++) {
        if (!import_write_file(dir, result->files[i].name, result->files[i].content)) {
            return false;
        }
    }
    return import_write_file(dir, "gatehouse.yaml", bytes_of(config));
}

static void import_tell(const struct import_arguments *arguments,
                        const struct import_result *result)
{
    for (size_t i = 0; i < result->finding_count; i++) {
        const struct import_finding *finding = &result->findings[i];

        if (finding->class == IMPORT_X || finding->class == IMPORT_A || arguments->is_explaining) {
            (void)fprintf(stderr, "%s:%u: %s: %s: %s\n", finding->file, finding->line,
                          finding->path[0] == '\0' ? "document" : finding->path,
                          import_class_name(finding->class), finding->text);
        }
    }
    if (result->refused_count > 0) {
        (void)fprintf(stderr, "Import refused (%zu %s); nothing was written.\n",
                      result->refused_count, result->refused_count == 1 ? "fault" : "faults");
    }
}

static int import_files(struct import_arguments *arguments)
{
    struct import_result result;
    struct gh_error err = {0};
    int status = 2;

    arguments->request.documents = arguments->documents;
    arguments->request.settings = arguments->settings;
    arguments->request.can_write_files = arguments->out_dir != NULL;
    arguments->request.created = arguments->created;
    if (!import_run(&arguments->request, &result, &err)) {
        (void)import_complain(err.text, "");
        return 2;
    }
    import_tell(arguments, &result);
    if (result.refused_count == 0 && import_give(arguments, &result)) {
        status = 0;
    }
    import_result_done(&result);
    return status;
}

int command_import(int argc, char **argv)
{
    struct import_arguments *arguments;
    time_t now = time(NULL);
    struct tm tm;
    int status = 2;

    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        (void)fputs(import_usage, stdout);
        return 0;
    }
    arguments = calloc(1, sizeof(*arguments));
    if (arguments == NULL || gmtime_r(&now, &tm) == NULL) {
        free(arguments);
        return 2;
    }
    (void)strftime(arguments->created, sizeof(arguments->created), "%Y-%m-%d", &tm);
    if (import_read_options(arguments, argc, argv) &&
        import_read_documents(arguments, argc, argv) && import_settle_paths(arguments)) {
        status = import_files(arguments);
    }
    for (size_t i = 0; i < arguments->request.document_count; i++) {
        bytes_buf_done(&arguments->contents[i]);
    }
    for (size_t i = 0; i < arguments->owned_count; i++) {
        free(arguments->owned[i]);
    }
    free(arguments);
    return status;
}
