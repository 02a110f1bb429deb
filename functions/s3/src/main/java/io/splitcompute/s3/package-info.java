/** An S3 endpoint inside this process. */
@NullMarked
package io.splitcompute.s3;

import org.jspecify.annotations.NullMarked;
