/* Runs a fuzz target over files and folders, without libFuzzer: replay FILE|FOLDER... */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/target.h"

enum { INPUT_MAX = 1 << 20, PATH_BYTES = 4096 };

static size_t run_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file) {
        perror(path);
        exit(74);
    }
    n = fread(data, 1, sizeof data, file);
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last line names the one that broke it */
    (void)LLVMFuzzerTestOneInput(data, n);
    return 1;
}

static size_t run(const char *path)
{
    struct dirent *entry;
    size_t count = 0;
    DIR *folder = opendir(path);

    if (!folder)
        return run_file(path);
    while ((entry = readdir(folder))) {
        char inner[PATH_BYTES];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        count += run_file(inner);
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    size_t count = 0;

    for (int i = 1; i < argc; i++)
        count += run(argv[i]);
    printf("%zu inputs\n", count);
    return count == 0;
}
