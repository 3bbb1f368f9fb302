// A page that does nothing but look light or dark.
theme.begin();
