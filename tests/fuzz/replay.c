/*
 * Runs a fuzz target over every file of a corpus folder, so that an ordinary build replays what
 * fuzzing found. Usage: replay_<stem> FOLDER; exits 77 (a skip) when the folder is missing.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gatehouse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REPLAY_MAX_BYTES (64u * 1024 * 1024)

static bool replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t len = 0;
    long end;

    if (file == NULL) {
        return false;
    }
    if (fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) >= 0 && end < (long)REPLAY_MAX_BYTES &&
        fseek(file, 0, SEEK_SET) == 0) {
        len = (size_t)end;
        data = malloc(len > 0 ? len : 1); /* exact size, so that ASan sees the first byte past it */
        if (data != NULL && fread(data, 1, len, file) == len) {
            (void)LLVMFuzzerTestOneInput(data, len);
        }
    }
    free(data);
    (void)fclose(file);
    return true;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *folder;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = opendir(argv[1]);
    if (folder == NULL) {
        (void)fprintf(stderr, "no corpus at %s\n", argv[1]);
        return 77;
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    while ((entry = readdir(folder)) != NULL) {
        char path[4096];

        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        count += replay_file(path) ? 1 : 0;
    }
    (void)closedir(folder);
    (void)printf("%u inputs replayed\n", count);
    return 0;
}
