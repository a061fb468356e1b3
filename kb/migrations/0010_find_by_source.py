"""Find the posts of one source among very many, for the filters of the queue and of the list."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("kb", "0009_see_the_whole")]

    operations = [
        migrations.AddIndex(
            model_name="post", index=models.Index(fields=["source"], name="kb_post_by_source")
        ),
    ]
