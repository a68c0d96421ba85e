//! Parts killed and configuration changed under load cost no request.
