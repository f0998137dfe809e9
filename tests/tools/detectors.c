/* Says which detectors this embmond has, one a line, in its order. */
#include <stdio.h>

#include "daemon/detect/detect.h"

int main(void)
{
    for (size_t i = 0; i < detector_count; i++)
        puts(detectors[i].name);
    return 0;
}
